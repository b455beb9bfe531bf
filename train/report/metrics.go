// Package report writes down how a training run goes: metrics.jsonl, one JSON
// object a line, which survives a kill at any moment and reads as one run after
// a resume; the JSON files beside it; and the progress line on the terminal.
package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"alexnet/pipeline"
	"alexnet/records/atomicfile"
	"alexnet/records/filelock"
)

// Event says what a Line of metrics reports.
type Event string

// The events of metrics.jsonl.
const (
	// StepEvent is written every so many steps; its means run over the images since
	// the step line before.
	StepEvent Event = "step"
	// EpochEvent is written after each epoch and its validation; its means run over
	// the images of the epoch.
	EpochEvent Event = "epoch"
)

// Line is one line of metrics.jsonl. Top1 and Top5 are shares of correct images in
// [0, 1], losses are mean cross-entropies in nats. Training numbers are those of
// the augmented images with dropout, as each step saw them.
type Line struct {
	Event Event `json:"event"`
	// Step is the number of steps done since the run began.
	Step int `json:"step"`
	// Epoch is the number of the epoch that the step belongs to, counted from 1.
	Epoch int     `json:"epoch"`
	LR    float32 `json:"lr"`
	// Images is the number of images that Loss, Top1 and Top5 are means over.
	Images int     `json:"images"`
	Loss   float64 `json:"loss"`
	Top1   float64 `json:"top1"`
	Top5   float64 `json:"top5"`
	// ImagesPerSecond is the speed of training, validation and checkpoints left out.
	ImagesPerSecond float64 `json:"images_per_second"`
	// WaitShare is the share of that time spent waiting for data, in [0, 1].
	WaitShare float64 `json:"wait_share"`
	// SummingShare is the share of that time in which gradients were summed over the
	// ranks and nothing was computed, the wait for the slowest included; 0 for a single
	// rank.
	SummingShare float64 `json:"summing_share,omitempty"`
	// SummingHidden is the share, in [0, 1], of the time that the sums themselves took,
	// the wait for the slowest included, in which the backward pass went on: 1 minus what
	// was waited, divided by what they took. 0 where sums and computation take turns.
	SummingHidden float64 `json:"summing_hidden,omitempty"`
	// Skipped is the number of damaged records that were skipped since the run
	// began; a record counts once in each epoch.
	Skipped int `json:"skipped"`
	// Loader says what the stream of batches did in the time that WaitShare is a
	// share of. It is nil in lines of programs that did not write it, and in the
	// line of an epoch of which no step was taken since a resume.
	Loader *Loader `json:"loader,omitempty"`
	// Val is set in epoch lines of runs that have a validation split.
	*Val
}

// Timeless returns the line without what depends on the time that things took.
func (l Line) Timeless() Line {
	l.ImagesPerSecond, l.WaitShare, l.SummingShare, l.SummingHidden, l.Loader = 0, 0, 0, 0, nil
	return l
}

// Val is the validation of an epoch, in the units of Line.
type Val struct {
	Images int     `json:"val_images"`
	Loss   float64 `json:"val_loss"`
	Top1   float64 `json:"val_top1"`
	Top5   float64 `json:"val_top5"`
}

// Loader is how the loader of batches spent its time (pipeline.Diagnosis).
type Loader struct {
	// Limit names what keeps the training from being faster: consumer, the
	// training itself, or a stage of the loader.
	Limit pipeline.Limit `json:"limit"`
	// WaitShare is the share of the time that the training waited, in [0, 1].
	WaitShare float64 `json:"wait_share"`
	// Busy is how much of its time each stage worked.
	Busy Busy `json:"busy"`
	// Ready is the mean number of batches that were ready when one was taken,
	// itself included.
	Ready float64 `json:"ready_batches"`
	// DiskBytesPerSecond is what this process had read from disks, where the
	// system tells.
	DiskBytesPerSecond float64 `json:"disk_bytes_per_second"`
	// StoreBytesPerSecond is what came from the object store that the records lie in.
	StoreBytesPerSecond float64 `json:"store_bytes_per_second,omitempty"`
	// Possible is the number of images a second that the loader would make if
	// the training never kept it waiting.
	Possible float64 `json:"possible_images_per_second"`
	// Skipped is the number of damaged records that the loader skipped in this
	// time, those of batches that it made in advance included.
	Skipped int64 `json:"skipped"`
	// Verdict says it in a sentence. Only lines of epochs have one.
	Verdict string `json:"verdict,omitempty"`
}

// Busy is the share of the time, in [0, 1], that each stage of the loader worked;
// fetch, read and augment are done by the same goroutines.
type Busy struct {
	Order   float64 `json:"order"`
	Fetch   float64 `json:"fetch"`
	Read    float64 `json:"read"`
	Augment float64 `json:"augment"`
}

// MalformedError reports a metrics file with a line that no trainer wrote.
type MalformedError struct {
	File string
	Line int // from 1
	Err  error
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("%s: line %d is not a line of metrics (%v); move the file away to go on with a new one", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.Err }

// BusyError reports a metrics file that another process appends to.
type BusyError struct{ File string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s: another process is training this run; wait for it, or use another run's folder", e.File)
}

// Unwrap returns filelock.ErrLocked.
func (e *BusyError) Unwrap() error { return filelock.ErrLocked }

// Metrics appends to a metrics file. It is not safe for concurrent use.
type Metrics struct{ file *os.File }

// OpenMetrics opens the metrics file of a run, or makes it, to append to it. It is
// cut before the first line for which keep is false: a run that goes on from an
// older checkpoint writes those anew. So is a last line that a kill has torn. A
// malformed line before that is a *MalformedError, and nothing is cut. Until Close no
// other process can open it so (*BusyError): two that train one run would undo each
// other's work.
func OpenMetrics(path string, keep func(Line) bool) (*Metrics, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if filelock.Take(file, false) != nil {
		return nil, errors.Join(&BusyError{path}, file.Close())
	}
	end, err := endOf(file, path, keep)
	if err == nil {
		err = file.Truncate(end)
	}
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("metrics: %w", err), file.Close())
	}
	return &Metrics{file}, nil
}

// endOf returns the offset before the first line that is not kept.
func endOf(r io.Reader, path string, keep func(Line) bool) (int64, error) {
	in := bufio.NewReader(r)
	var end int64
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil // nothing, or a torn line
		}
		if err != nil {
			return 0, err
		}
		var line Line
		err = json.Unmarshal(text, &line)
		if err == nil && line.Event != StepEvent && line.Event != EpochEvent {
			err = fmt.Errorf("its event is %q", line.Event)
		}
		if err != nil {
			return 0, &MalformedError{path, n, err}
		}
		if !keep(line) {
			return end, nil
		}
		end += int64(len(text))
	}
}

// Append writes one line. The line is in the operating system's hands when Append
// returns.
func (m *Metrics) Append(line Line) error {
	text, err := json.Marshal(line)
	if err == nil {
		_, err = m.file.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Sync forces the lines to the disk. It comes before a checkpoint is written, so
// that no checkpoint is ahead of the metrics.
func (m *Metrics) Sync() error {
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Close closes the file.
func (m *Metrics) Close() error { return m.file.Close() }

// WriteJSON writes v, indented, to a file that appears whole or not at all.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	data = append(data, '\n')
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}
