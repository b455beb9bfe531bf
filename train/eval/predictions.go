package eval

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"alexnet/records"
	"alexnet/records/atomicfile"
)

// PredictionFile is a file of predictions in the making. It appears whole, at Commit,
// or not at all. Either Commit or Abort must be called; Abort after Commit does
// nothing.
type PredictionFile struct {
	path  string
	file  *atomicfile.File
	w     *bufio.Writer
	ds    *records.Dataset
	split *records.Split
	lines int
	// submission is nil in a file of JSON lines.
	submission *submission
}

// CreatePredictions starts a file, of JSON lines if its name ends in ".jsonl", in the
// order of the rows:
//
//	{"key":"n01440764/n01440764_10026.JPEG","label":0,"predicted":[0,391,2,758,4],
//	 "wnids":["n01440764",…],"probabilities":[0.71,0.09,0.05,0.03,0.01]}
//
// without "label" for a record that has none. Files with other names are submissions
// to ILSVRC (submission.go says which splits can be submitted), in which a record that
// is missing is an error unless fill is set. What would make the file impossible is
// found before anything is computed.
func CreatePredictions(path string, ds *records.Dataset, split *records.Split, fill bool) (*PredictionFile, error) {
	p := &PredictionFile{path: path, ds: ds, split: split}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("predictions: %w", &fs.PathError{Op: "write", Path: path, Err: errors.New("is a folder")})
	}
	if !strings.EqualFold(filepath.Ext(path), ".jsonl") {
		var err error
		if p.submission, err = newSubmission(ds, split, fill); err != nil {
			return nil, fmt.Errorf("predictions %s: %w", path, err)
		}
	}
	var err error
	if p.file, err = atomicfile.Create(path); err != nil {
		return nil, fmt.Errorf("predictions: %w", err)
	}
	p.w = bufio.NewWriterSize(p.file, 1<<16)
	return p, nil
}

// jsonLine is a line of a file of JSON lines.
type jsonLine struct {
	Key           string    `json:"key"`
	Label         *int32    `json:"label,omitempty"`
	Predicted     []int     `json:"predicted"`
	WNIDs         []string  `json:"wnids"`
	Probabilities []float32 `json:"probabilities"`
}

// Add takes a prediction: it is an Options.Predictions.
func (p *PredictionFile) Add(q Prediction) error {
	if p.submission != nil {
		p.submission.add(q)
		return nil
	}
	key, err := p.split.Key(q.Row)
	if err != nil {
		return err
	}
	line := jsonLine{Key: key, Predicted: q.Classes}
	if q.Label >= 0 {
		line.Label = &q.Label
	}
	for i, c := range q.Classes {
		line.WNIDs = append(line.WNIDs, p.ds.Manifest.Classes[c].WNID)
		line.Probabilities = append(line.Probabilities, float32(q.Probabilities[i]))
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("predictions %s: %s: %w", p.path, key, err)
	}
	if _, err := p.w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("predictions: %w", err)
	}
	p.lines++
	return nil
}

// Commit ends the file and gives it its name. It returns the number of lines, and
// warnings about a submission.
func (p *PredictionFile) Commit() (lines int, warnings []string, err error) {
	if s := p.submission; s != nil {
		if p.lines, err = s.write(p.w); err != nil {
			return 0, nil, fmt.Errorf("predictions: %w", errors.Join(err, p.Abort()))
		}
		warnings = s.warnings()
	}
	if err := p.w.Flush(); err != nil {
		return 0, nil, fmt.Errorf("predictions: %w", errors.Join(err, p.Abort()))
	}
	if err := p.file.Commit(); err != nil {
		return 0, nil, fmt.Errorf("predictions: %w", err)
	}
	return p.lines, warnings, nil
}

// Abort gives the file up.
func (p *PredictionFile) Abort() error { return p.file.Abort() }
