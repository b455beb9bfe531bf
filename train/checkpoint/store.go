package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"alexnet/records/atomicfile"
)

// Folder is the name of the folder of checkpoints within a run's folder.
const Folder = "checkpoints"

const (
	prefix = "step-"
	suffix = ".safetensors"
)

// Store keeps the checkpoints of one run.
type Store struct {
	// Run is the run's folder.
	Run string
	// Keep is how many of the newest checkpoints are kept beside the best; at least 1.
	Keep int
	// WriteFile writes a file that appears whole or not at all; nil means
	// atomicfile.Write.
	WriteFile func(path string, fill func(io.Writer) error) error
}

// Path returns the file of the checkpoint of a step.
func (s *Store) Path(step int) string {
	return filepath.Join(s.Run, Folder, fmt.Sprintf("%s%08d%s", prefix, step, suffix))
}

// Save writes a checkpoint, then removes older ones that are neither among the Keep
// newest nor the best. It returns the file. When it fails, the checkpoints from
// before are still there.
func (s *Store) Save(c *Checkpoint) (string, error) {
	path := s.Path(c.Progress.Step)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	write := s.WriteFile
	if write == nil {
		write = atomicfile.Write
	}
	if err := write(path, c.Write); err != nil {
		return "", fmt.Errorf("checkpoint %s was not written: %w", path, err)
	}
	s.prune(c.Progress)
	return path, nil
}

// prune removes checkpoints that are no longer needed, and temporaries that killed
// processes have left. Files of later steps stem
// from before the run was resumed at an older one; they are overwritten in time. A
// file that cannot be removed now is tried again after the next checkpoint.
func (s *Store) prune(p Progress) {
	steps, temps, err := list(s.Run)
	if err != nil {
		return
	}
	for _, path := range temps {
		_ = os.Remove(path)
	}
	kept := 0
	for _, step := range steps {
		switch {
		case step > p.Step, p.Best != nil && step == p.Best.Step:
		case kept < s.Keep:
			kept++
		default:
			_ = os.Remove(s.Path(step))
		}
	}
}

// list returns the steps of a run's checkpoints, the newest first, and the files
// that were never finished.
func list(run string) (steps []int, temps []string, err error) {
	entries, err := os.ReadDir(filepath.Join(run, Folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the run's folder: %w", err)
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok {
			continue
		}
		if atomicfile.IsTemp(digits) {
			temps = append(temps, filepath.Join(run, Folder, e.Name()))
		}
		if digits, ok = strings.CutSuffix(digits, suffix); !ok {
			continue
		}
		if step, err := strconv.Atoi(digits); err == nil && step >= 0 {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	slices.Reverse(steps)
	return steps, temps, nil
}

// Any reports whether a run's folder holds checkpoints, sound or not.
func Any(run string) (bool, error) {
	steps, _, err := list(run)
	return len(steps) > 0, err
}

// Latest returns the newest readable checkpoint of a run. warnings tells of newer
// ones that were passed over because they are damaged. The error wraps ErrNone when
// the run has no checkpoint, and all damages when none of them is sound.
func Latest(run string) (c *Checkpoint, warnings []error, err error) {
	steps, _, err := list(run)
	if err != nil {
		return nil, nil, err
	}
	if len(steps) == 0 {
		return nil, nil, fmt.Errorf("%w in %s", ErrNone, filepath.Join(run, Folder))
	}
	s := Store{Run: run}
	for _, step := range steps {
		c, err := Read(s.Path(step))
		var damaged *DamagedError
		switch {
		case err == nil:
			return c, warnings, nil
		case !errors.As(err, &damaged):
			return nil, warnings, err
		}
		warnings = append(warnings, err)
	}
	return nil, nil, fmt.Errorf("no checkpoint in %s can be read: %w", filepath.Join(run, Folder), errors.Join(warnings...))
}

// BestOf returns a run's checkpoint of the highest validation accuracy, or the
// newest where there is no such. Warnings and errors are those of Latest.
func BestOf(run string) (c *Checkpoint, warnings []error, err error) {
	c, warnings, err = Latest(run)
	if err != nil || c.Progress.Best == nil || c.Progress.Best.Step == c.Progress.Step {
		return c, warnings, err
	}
	s := Store{Run: run}
	best, err := Read(s.Path(c.Progress.Best.Step))
	if err != nil {
		return c, append(warnings, fmt.Errorf("taking the newest checkpoint, not the best: %w", err)), nil
	}
	return best, warnings, nil
}

// Find reads the checkpoint that a user names: a file, or a run's folder, which
// stands for its best checkpoint.
func Find(path string) (c *Checkpoint, warnings []error, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	if info.IsDir() {
		return BestOf(path)
	}
	c, err = Read(path)
	return c, nil, err
}
