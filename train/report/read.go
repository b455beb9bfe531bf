package report

import (
	"fmt"
	"os"
)

// ReadMetrics reads the lines of a metrics file. A last line that a kill has torn is
// left out; a malformed one before that is a *MalformedError.
func ReadMetrics(path string) ([]Line, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer file.Close()
	var lines []Line
	if _, err := endOf(file, path, func(l Line) bool {
		lines = append(lines, l)
		return true
	}); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return lines, nil
}
