// Package checkpoint keeps what a training run needs to go on exactly where it
// was: weights, velocities, the position in the epoch, the state of the
// learning-rate schedule and half-gathered averages.
//
// A checkpoint is one safetensors file (github.com/huggingface/safetensors):
// weights under the names of model.Net.Params, so that any reader of that format
// can use them, velocities under the same names with the prefix "velocity.", in
// runs that average their weights those averages with the prefix "average.", and in
// the file's metadata:
//
//	format    "alexnet-checkpoint"
//	version   "1"
//	net       the net as JSON
//	classes   the WNIDs of the classes in the order of the outputs, as JSON
//	records   the digest of the records that the run trains on
//	settings  what determines the course of the run, as JSON
//	progress  how far the run is, as JSON
//	engine    what computed the last step (model.ArithmeticEngine), if that is known
//	crc32c    checksum of all metadata but this one and of all tensors, in hex
//
// A file appears whole or not at all, and a damaged one is recognised.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"alexnet/model"
	"alexnet/train/report"
)

const (
	format         = "alexnet-checkpoint"
	version        = "1"
	velocityPrefix = "velocity."
	averagePrefix  = "average."
)

// Checkpoint is the state of a training run between two steps.
type Checkpoint struct {
	// File is where the checkpoint was read from.
	File string
	// Net is the net that is trained.
	Net *model.Net
	// Classes are the WNIDs of the classes, in the order of the net's outputs.
	Classes []string
	// Records is the digest of the manifest of the records.
	Records string
	// Settings is the JSON of what determines the course of the run.
	Settings json.RawMessage
	// Progress is how far the run is.
	Progress Progress
	// Engine is the arithmetic of the engine (model.ArithmeticEngine) that took the last
	// steps. It is empty where that is not known, as in files of older programs.
	Engine string
	// State holds weights and velocities.
	State model.State
	// Average holds the averaged weights of a run that keeps them, nil otherwise.
	Average []model.Tensor
}

// Progress is how far a run is.
type Progress struct {
	// Step is the number of steps done since the run began.
	Step int `json:"step"`
	// Epoch is the epoch under way, counted from 0, and StepInEpoch the number of
	// its steps that are done. An epoch is over only after its validation.
	Epoch       int `json:"epoch"`
	StepInEpoch int `json:"step_in_epoch"`
	// Schedule is the state of the learning-rate schedule.
	Schedule json.RawMessage `json:"schedule"`
	// Window sums the scores since the last step line of the metrics, Totals those
	// of the epoch under way.
	Window model.Score `json:"window"`
	Totals model.Score `json:"totals"`
	// Skipped is the number of damaged records that were skipped since the run
	// began; a record counts once in each epoch.
	Skipped int `json:"skipped,omitempty"`
	// Last is the last epoch line of the metrics, nil before the first. Write leaves out
	// what depends on the time, so that a checkpoint's bytes are those of any other run
	// that took the same steps; those are in the metrics.
	Last *report.Line `json:"last,omitempty"`
	// Best is the best validation so far, nil before the first.
	Best *Best `json:"best,omitempty"`
	// SinceBest is the number of validations since Best.
	SinceBest int `json:"since_best,omitempty"`
}

// Best names the checkpoint with the highest top-1 accuracy on the validation
// split; of equals the earliest.
type Best struct {
	Step int     `json:"step"`
	Top1 float64 `json:"top1"` // share of correct images in [0, 1]
}

// Write writes the checkpoint as a safetensors file.
func (c *Checkpoint) Write(w io.Writer) error {
	progress := c.Progress
	if progress.Last != nil {
		last := progress.Last.Timeless()
		progress.Last = &last
	}
	meta := map[string]string{"format": format, "version": version, "records": c.Records, "settings": string(c.Settings)}
	if c.Engine != "" {
		meta["engine"] = c.Engine
	}
	for key, v := range map[string]any{"net": c.Net, "classes": c.Classes, "progress": progress} {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("checkpoint's %s: %w", key, err)
		}
		meta[key] = string(text)
	}
	tensors := append([]model.Tensor(nil), c.State.Weights...)
	for _, group := range []struct {
		prefix  string
		tensors []model.Tensor
	}{{velocityPrefix, c.State.Velocity}, {averagePrefix, c.Average}} {
		for _, t := range group.tensors {
			tensors = append(tensors, model.Tensor{Name: group.prefix + t.Name, Shape: t.Shape, Data: t.Data})
		}
	}
	meta[checksumKey] = checksum(meta, tensors)
	return model.WriteTensors(w, meta, tensors)
}

// Read reads and checks a checkpoint. A file that is cut short or altered is a
// *DamagedError, one of another version or kind an *UnsupportedError.
func Read(path string) (*Checkpoint, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer file.Close()
	return read(file, path)
}

// read is Read for an open file.
func read(r io.Reader, path string) (*Checkpoint, error) {
	meta, tensors, err := readTensors(r, path)
	if err != nil {
		return nil, err
	}
	if meta["format"] != format {
		return nil, &UnsupportedError{path, "it has no training state (weights only?)", "use it with --init, or give a checkpoint that train wrote"}
	}
	c, err := decode(meta, tensors)
	if err != nil {
		return nil, &DamagedError{path, err}
	}
	c.File = path
	return c, nil
}

// Weights names which weights of a checkpoint are meant.
type Weights string

// The weights of a checkpoint.
const (
	Own      Weights = "own"     // those that are trained
	Averaged Weights = "average" // their average, in runs that keep one
)

// Weights returns the weights that are asked for. It is an *UnsupportedError to ask
// for an average that the run did not keep.
func (c *Checkpoint) Weights(which Weights) ([]model.Tensor, error) {
	switch {
	case which == Own:
		return c.State.Weights, nil
	case which != Averaged:
		return nil, fmt.Errorf("weights %q: there are %q and %q", which, Own, Averaged)
	case c.Average == nil:
		return nil, noAverage(c.File)
	}
	return c.Average, nil
}

func noAverage(path string) error {
	return &UnsupportedError{path, "it has no averaged weights, which only runs with --ema keep", fmt.Sprintf("take its %s weights", Own)}
}

// ReadWeights reads weights of a checkpoint, or of any safetensors file that
// names its tensors as model.Net.Params does. Errors are those of Read and of
// Checkpoint.Weights.
func ReadWeights(path string, which Weights) ([]model.Tensor, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	defer file.Close()
	meta, tensors, err := readTensors(file, path)
	if err == nil && meta["format"] != format && which == Averaged {
		err = noAverage(path)
	}
	if err != nil || meta["format"] != format {
		return tensors, err
	}
	c, err := decode(meta, tensors)
	if err != nil {
		return nil, &DamagedError{path, err}
	}
	c.File = path
	return c.Weights(which)
}

// readTensors reads a safetensors file and, if it is a checkpoint, checks version
// and checksum.
func readTensors(r io.Reader, path string) (map[string]string, []model.Tensor, error) {
	meta, tensors, err := model.ReadTensors(r)
	var failed *fs.PathError
	var unsupported *model.UnsupportedError
	switch {
	case errors.As(err, &failed):
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	case errors.As(err, &unsupported):
		return nil, nil, &UnsupportedError{path, err.Error(), "give a file of F32, F16 or BF16 tensors"}
	case err != nil:
		return nil, nil, &DamagedError{path, err}
	case meta["format"] != format:
		return meta, tensors, nil
	case meta["version"] != version:
		return nil, nil, &UnsupportedError{path, fmt.Sprintf("it has version %q, and this program reads version %s", meta["version"], version),
			"use the program that wrote it"}
	}
	if got := checksum(meta, tensors); got != meta[checksumKey] {
		return nil, nil, &DamagedError{path, fmt.Errorf("the checksum of its contents is %s, not %q as it says", got, meta[checksumKey])}
	}
	return meta, tensors, nil
}

// decode takes apart what Write put together.
func decode(meta map[string]string, tensors []model.Tensor) (*Checkpoint, error) {
	c := &Checkpoint{Records: meta["records"], Settings: json.RawMessage(meta["settings"]), Engine: meta["engine"]}
	for key, v := range map[string]any{"net": &c.Net, "classes": &c.Classes, "progress": &c.Progress} {
		if err := json.Unmarshal([]byte(meta[key]), v); err != nil {
			return nil, fmt.Errorf("its %s: %w", key, err)
		}
	}
	if c.Net == nil {
		return nil, errors.New("it has no net")
	}
	if err := c.Net.Validate(); err != nil {
		return nil, fmt.Errorf("its net: %w", err)
	}
	if p := c.Progress; p.Step < 0 || p.Epoch < 0 || p.StepInEpoch < 0 || p.StepInEpoch > p.Step {
		return nil, fmt.Errorf("its position, step %d (%d of epoch %d), cannot be", p.Step, p.StepInEpoch, p.Epoch)
	}
	for _, t := range tensors {
		if name, ok := strings.CutPrefix(t.Name, velocityPrefix); ok {
			t.Name = name
			c.State.Velocity = append(c.State.Velocity, t)
		} else if name, ok := strings.CutPrefix(t.Name, averagePrefix); ok {
			t.Name = name
			c.Average = append(c.Average, t)
		} else {
			c.State.Weights = append(c.State.Weights, t)
		}
	}
	if err := c.Net.CheckTensors(c.State.Weights); err != nil {
		return nil, fmt.Errorf("its weights: %w", err)
	}
	if c.State.Velocity != nil {
		if err := c.Net.CheckTensors(c.State.Velocity); err != nil {
			return nil, fmt.Errorf("its velocities: %w", err)
		}
	}
	if c.Average != nil {
		if err := c.Net.CheckTensors(c.Average); err != nil {
			return nil, fmt.Errorf("its averages: %w", err)
		}
	}
	return c, nil
}
