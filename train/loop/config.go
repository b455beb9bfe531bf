package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/records"
	"alexnet/train/sgd"
)

// The splits that a run uses.
const (
	TrainSplit = "train"
	ValSplit   = "val"
)

// The files of a run's folder, beside the folder of checkpoints.
const (
	ConfigFile  = "config.json"
	MetricsFile = "metrics.jsonl"
	SummaryFile = "summary.json"
)

// ColorNone turns the colour augmentation off; the other values of Settings.Color
// are the names of augment.ColorScale.
const ColorNone = "none"

// Settings determine the course of a run. They stay what they are from its first
// step to its last: a run is resumed with the settings it began with.
type Settings struct {
	// Batch is the number of images of a step; the last of an epoch may be smaller.
	Batch int `json:"batch"`
	// Seed determines order, crops, colours and dropout.
	Seed        uint64     `json:"seed"`
	Momentum    float64    `json:"momentum"`
	WeightDecay float64    `json:"weight_decay"`
	Schedule    sgd.Config `json:"schedule"`
	// Color is "none", "stddev" or "eigenvalue".
	Color string `json:"color"`
}

// Limits say how far a run goes and how often it writes. They may be others when it
// is resumed.
type Limits struct {
	// Epochs is when the run is done.
	Epochs int `json:"epochs"`
	// MaxSteps, if not 0, ends it after so many steps in all.
	MaxSteps int `json:"max_steps,omitempty"`
	// CheckpointEvery, if not 0, is the number of steps between checkpoints, beside
	// those after each epoch.
	CheckpointEvery int `json:"checkpoint_every,omitempty"`
	// LogEvery is the number of steps between step lines in the metrics; 0 for none.
	LogEvery int `json:"log_every,omitempty"`
	// Keep is how many of the newest checkpoints are kept beside the best.
	Keep int `json:"keep"`
	// Workers prepare batches; 0 means one a processor.
	Workers int `json:"workers,omitempty"`
}

// RunConfig is config.json: all that a run was started with.
type RunConfig struct {
	// Records is the absolute path of the records, and Digest their manifest's.
	Records string `json:"records"`
	Digest  string `json:"digest"`
	// Init is the file that the first weights came from, if any.
	Init     string     `json:"init,omitempty"`
	Settings Settings   `json:"settings"`
	Limits   Limits     `json:"limits"`
	Net      *model.Net `json:"net"`
}

// ReadConfig reads the config.json of a run's folder.
func ReadConfig(run string) (RunConfig, error) {
	var c RunConfig
	path := filepath.Join(run, ConfigFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is not the folder of a run: %w", run, err)
	}
	if err != nil {
		return c, err
	}
	if err = json.Unmarshal(data, &c); err == nil && c.Net == nil {
		err = errors.New("it names no net")
	}
	if err == nil {
		err = c.Net.Validate()
	}
	if err != nil {
		return c, fmt.Errorf("%s is damaged: %w; start another run in another folder", path, err)
	}
	return c, nil
}

// Check returns an error that says which setting cannot be.
func (s Settings) Check() error {
	switch {
	case s.Batch < 1:
		return fmt.Errorf("batch of %d images: must be at least 1", s.Batch)
	case !(s.Momentum >= 0 && s.Momentum < 1):
		return fmt.Errorf("momentum %g: must be at least 0 and less than 1", s.Momentum)
	case !(s.WeightDecay >= 0 && s.WeightDecay < 1):
		return fmt.Errorf("weight decay %g: must be at least 0 and less than 1", s.WeightDecay)
	}
	_, err := sgd.New(s.Schedule)
	return err
}

// Check returns an error that says which limit cannot be.
func (l Limits) Check() error {
	for name, n := range map[string]int{"max-steps": l.MaxSteps, "checkpoint-every": l.CheckpointEvery, "log-every": l.LogEvery, "workers": l.Workers} {
		if n < 0 {
			return fmt.Errorf("%s %d: must not be negative", name, n)
		}
	}
	switch {
	case l.Epochs < 1:
		return fmt.Errorf("%d epochs: must be at least 1", l.Epochs)
	case l.Keep < 1:
		return fmt.Errorf("%d checkpoints kept: must be at least 1", l.Keep)
	}
	return nil
}

// color returns the colour augmentation, nil for none.
func (s Settings) color(m *records.Manifest) (*augment.Color, error) {
	if s.Color == ColorNone {
		return nil, nil
	}
	var scale augment.ColorScale
	if err := scale.UnmarshalText([]byte(s.Color)); err != nil {
		return nil, err
	}
	if m.PCA == nil {
		return nil, fmt.Errorf("colour augmentation %q needs the principal components of RGB images, which these records do not have: use %q", s.Color, ColorNone)
	}
	c := augment.EigenColor(m.PCA.Eigenvectors, m.PCA.Eigenvalues, scale)
	return &c, nil
}
