package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/checkpoint"
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
	// Batch is the number of images of a batch; the last of an epoch may be smaller.
	Batch int `json:"batch"`
	// Accumulate is the number of batches of a step, whose gradient is that of the
	// mean loss of all their images; 0 means 1. The last step of an epoch may have
	// fewer.
	Accumulate int `json:"accumulate,omitempty"`
	// ClipNorm, if not 0, is the largest Euclidean norm of a step's gradient, all
	// parameters together, before weight decay; a longer one is scaled down to it.
	ClipNorm float64 `json:"clip_norm,omitempty"`
	// EMA, if not 0, is the decay of an exponential average of the weights, which
	// every step moves by 1-EMA of the difference, and the first ones by more: after
	// n steps at most (1+n)/(10+n) of the average is left. It does not change the
	// course of the run.
	EMA float64 `json:"ema,omitempty"`
	// Precision is what the engine computes with.
	Precision Precision `json:"precision"`
	// Seed determines order, crops, colours and dropout.
	Seed        uint64     `json:"seed"`
	Momentum    float64    `json:"momentum"`
	WeightDecay float64    `json:"weight_decay"`
	Schedule    sgd.Config `json:"schedule"`
	// Optimizer is the rule that the gradient changes the weights by.
	Optimizer Optimizer `json:"optimizer,omitempty"`
	// TrustCoefficient (lars) is the share of a parameter's norm that a step changes at
	// a rate of 1, before momentum: the paper's eta, positive.
	TrustCoefficient float64 `json:"trust_coefficient,omitempty"`
	// Color is "none", "stddev" or "eigenvalue".
	Color string `json:"color"`
	// ColorEpochs, if not 0, is the number of epochs after which colours are left as
	// they are.
	ColorEpochs int `json:"color_epochs,omitempty"`
	// ColorDivisor, if not 0, divides images while their colours are shifted: 1.1 in
	// the program of 2012.
	ColorDivisor float64 `json:"color_divisor,omitempty"`
	// CropGroup is the number of consecutive images of an epoch that share a crop and
	// a flip, 32 in the program of 2012; 0 means 1, each its own.
	CropGroup int `json:"crop_group,omitempty"`
	// InclusiveCrops widens the random crops by the last offset: 33x33 places for
	// 224 of 256 and not the paper's 32x32, as in the program of 2012.
	InclusiveCrops bool `json:"inclusive_crops,omitempty"`
	// CenterCrops takes the central crop of every image, never a random one.
	CenterCrops bool `json:"center_crops,omitempty"`
	// NoFlip leaves mirror images out.
	NoFlip bool `json:"no_flip,omitempty"`
	// Shuffle is how the records of an epoch are permuted. Runs of programs that
	// had no choice were global.
	Shuffle pipeline.Shuffle `json:"shuffle"`
	// Window is the number of records that ShuffleBlock mixes at a time. 0 takes
	// the checkpoint's, and in a new run what suits this machine's memory: that is
	// written down before the first step, since it decides the order.
	Window int `json:"window,omitempty"`
}

// Precision is the arithmetic of an engine. In text its zero value is "fp32".
type Precision string

// The precisions. Runs of programs that had no choice were FP32.
const (
	FP32 Precision = ""
	BF16 Precision = "bf16"
	TF32 Precision = "tf32" // of GPUs
)

// MarshalText implements encoding.TextMarshaler.
func (p Precision) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns "fp32", "bf16" or "tf32".
func (p Precision) String() string {
	if p == FP32 {
		return "fp32"
	}
	return string(p)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Precision) UnmarshalText(text []byte) error {
	q := Precision(text)
	if string(text) == FP32.String() {
		q = FP32
	}
	if err := q.check(); err != nil {
		return err
	}
	*p = q
	return nil
}

// check returns an error for what is no precision.
func (p Precision) check() error {
	if p != FP32 && p != BF16 && p != TF32 {
		return fmt.Errorf("precision %q: must be %v, %v or %v", string(p), FP32, BF16, TF32)
	}
	return nil
}

// Optimizer is the rule that a gradient changes the weights by.
type Optimizer string

// The optimizers. Runs of programs that had no choice were SGD.
const (
	SGD  Optimizer = ""     // model.Hyper's rule
	LARS Optimizer = "lars" // the same with a rate of its own for each parameter, for large batches
)

// check returns an error unless a trust coefficient goes with an optimizer that has one.
func (o Optimizer) check(trust float64) error {
	switch {
	case o != SGD && o != LARS:
		return fmt.Errorf("optimizer %q: must be sgd or %s", string(o), LARS)
	case o == SGD && trust != 0:
		return fmt.Errorf("a trust coefficient of %g is for the optimizer %s", trust, LARS)
	case o == LARS && !(trust > 0 && trust <= 1):
		return fmt.Errorf("trust coefficient %g: must be more than 0 and at most 1", trust)
	}
	return nil
}

// Limits say how far a run goes and how often it writes. They may be others when it
// is resumed.
type Limits struct {
	// Epochs is when the run is done.
	Epochs int `json:"epochs"`
	// MaxSteps, if not 0, ends it after so many steps in all.
	MaxSteps int `json:"max_steps,omitempty"`
	// StopAfter, if not 0, ends it after so many epochs in a row without a better
	// top-1 accuracy of the validation.
	StopAfter int `json:"stop_after,omitempty"`
	// CheckpointEvery, if not 0, is the number of steps between checkpoints, beside
	// those after each epoch.
	CheckpointEvery int `json:"checkpoint_every,omitempty"`
	// LogEvery is the number of steps between step lines in the metrics; 0 for none.
	LogEvery int `json:"log_every,omitempty"`
	// Keep is how many of the newest checkpoints are kept beside the best.
	Keep int `json:"keep"`
	// Workers prepare batches; 0 means one a processor.
	Workers int `json:"workers,omitempty"`
	// Requests is how many records are asked for at a time where they lie in an object
	// store; 0 means pipeline.DefaultRequests.
	Requests int `json:"requests,omitempty"`
	// OnCorrupt says what becomes of training records that cannot be read. To skip
	// them never changes the course of a run that has none. Those of the
	// validation split always end the run.
	OnCorrupt pipeline.OnCorrupt `json:"on_corrupt,omitempty"`
	// Cache is the memory for decompressed records, as pipeline.Options.Cache: 0
	// chooses, a negative number takes none.
	Cache int64 `json:"cache,omitempty"`
}

// RunConfig is config.json: all that a run was started with.
type RunConfig struct {
	// Records is the absolute path of the records, or their URL, and Digest their manifest's.
	Records string `json:"records"`
	Digest  string `json:"digest"`
	// Init is the file that the first weights came from, if any, and InitWeights says
	// which weights of it; empty means its own.
	Init        string             `json:"init,omitempty"`
	InitWeights checkpoint.Weights `json:"init_weights,omitempty"`
	// InitExcept names the layers whose first weights were drawn nevertheless.
	InitExcept []string   `json:"init_except,omitempty"`
	Settings   Settings   `json:"settings"`
	Limits     Limits     `json:"limits"`
	Net        *model.Net `json:"net"`
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

// maxAccumulate is the largest number of batches of a step.
const maxAccumulate = 1 << 20

// maxWindow is the largest window that the pipeline takes.
const maxWindow = 1 << 31

// Check returns an error that says which setting cannot be.
func (s Settings) Check() error {
	switch {
	case s.Batch < 1:
		return fmt.Errorf("batch of %d images: must be at least 1", s.Batch)
	case s.Accumulate < 0 || s.Accumulate > maxAccumulate:
		return fmt.Errorf("%d batches a step: must lie between 1 and %d", s.Accumulate, maxAccumulate)
	case !(s.ClipNorm >= 0) || math.IsInf(s.ClipNorm, 0):
		return fmt.Errorf("clip norm %g: must be a positive number, or 0 for none", s.ClipNorm)
	case !(s.EMA >= 0 && s.EMA < 1):
		return fmt.Errorf("EMA decay %g: must be at least 0 and less than 1", s.EMA)
	case s.ColorEpochs < 0:
		return fmt.Errorf("%d epochs with shifts of colour: must not be negative", s.ColorEpochs)
	case !(s.ColorDivisor >= 0 && s.ColorDivisor <= math.MaxFloat32):
		return fmt.Errorf("a divisor of %g for images with shifted colours: must be a positive number, or 0 for none", s.ColorDivisor)
	case s.CropGroup < 0 || int64(s.CropGroup) > math.MaxInt32:
		return fmt.Errorf("%d images that share a crop: must lie between 1 and %d", s.CropGroup, math.MaxInt32)
	case s.CenterCrops && s.InclusiveCrops:
		return errors.New("crops cannot be both the central ones and random ones with the last offset")
	case !(s.Momentum >= 0 && s.Momentum < 1):
		return fmt.Errorf("momentum %g: must be at least 0 and less than 1", s.Momentum)
	case !(s.WeightDecay >= 0 && s.WeightDecay < 1):
		return fmt.Errorf("weight decay %g: must be at least 0 and less than 1", s.WeightDecay)
	case s.Shuffle != pipeline.ShuffleGlobal && s.Shuffle != pipeline.ShuffleBlock:
		return fmt.Errorf("shuffle %v: must be global or block", s.Shuffle)
	case s.Window != 0 && s.Shuffle != pipeline.ShuffleBlock:
		return fmt.Errorf("a window of %d records is for block shuffle, and the shuffle is %v", s.Window, s.Shuffle)
	case s.Window < 0 || int64(s.Window) > maxWindow:
		return fmt.Errorf("window of %d records: must lie between 1 and %d, or be 0 to choose it by the memory", s.Window, int64(maxWindow))
	}
	_, err := sgd.New(s.Schedule)
	return errors.Join(s.Precision.check(), s.Optimizer.check(s.TrustCoefficient), err)
}

// Check returns an error that says which limit cannot be.
func (l Limits) Check() error {
	for name, n := range map[string]int{"max-steps": l.MaxSteps, "stop-after": l.StopAfter, "checkpoint-every": l.CheckpointEvery, "log-every": l.LogEvery, "workers": l.Workers, "requests": l.Requests} {
		if n < 0 {
			return fmt.Errorf("%s %d: must not be negative", name, n)
		}
	}
	switch {
	case l.OnCorrupt != pipeline.Stop && l.OnCorrupt != pipeline.Skip:
		return fmt.Errorf("on-corrupt %v: must be stop or skip", l.OnCorrupt)
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
	c, err := pipeline.ColorOf(m, scale)
	if err != nil {
		return nil, fmt.Errorf("colour augmentation %q: %w: use %q", s.Color, err, ColorNone)
	}
	c.Divisor = float32(s.ColorDivisor)
	return c, nil
}

// settled returns the settings of a run with what its checkpoint has decided.
func (c Config) settled() (Settings, error) {
	s := c.Settings
	if c.Resume == nil || s.Shuffle != pipeline.ShuffleBlock || s.Window != 0 {
		return s, nil
	}
	var old Settings
	if err := json.Unmarshal(c.Resume.Settings, &old); err != nil {
		return s, &checkpoint.DamagedError{File: c.Resume.File, Err: fmt.Errorf("its settings: %w", err)}
	}
	s.Window = old.Window
	return s, nil
}

// checkResumed returns what keeps the checkpoint from being gone on with under
// these settings. Settings that older programs did not have are what they did.
func checkResumed(c *checkpoint.Checkpoint, net *model.Net, m *records.Manifest, s Settings) error {
	old := map[string]json.RawMessage{"shuffle": json.RawMessage(`"global"`), "precision": json.RawMessage(`"fp32"`)}
	if err := json.Unmarshal(c.Settings, &old); err != nil {
		return &checkpoint.DamagedError{File: c.File, Err: fmt.Errorf("its settings: %w", err)}
	}
	text, err := json.Marshal(old)
	if err != nil {
		return err
	}
	complete := *c
	complete.Settings = text
	return complete.Check(net, m, s)
}
