package loop

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/report"
	"alexnet/train/sgd"
	"alexnet/train/traintest"
)

func TestRefused(t *testing.T) {
	ds := dataset(t, data)
	other := data
	other.Seed++
	onlyVal := data
	onlyVal.Train = 0
	small := data
	small.Size = 6
	old := t.TempDir()
	train(t, config(old), ds, Hooks{})
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, ConfigFile), []byte(`{"name":"an editor's"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	windowed := t.TempDir()
	train(t, blocks(config(windowed)), ds, Hooks{})

	for _, tc := range []struct {
		name   string
		data   traintest.Data
		change func(*Config)
		want   string
	}{
		{"a run that is there", data, func(c *Config) { c.Run = old }, old + " already holds checkpoints: go on with --resume, or give another --run"},
		{"a folder of something else", data, func(c *Config) { c.Run = foreign }, filepath.Join(foreign, ConfigFile) + " is damaged: it names no net; start another run in another folder"},
		{"other records", other, func(c *Config) { *c = resumed(t, old) }, "step-00000015.safetensors has other records: digest: "},
		{"another batch", data, func(c *Config) { *c = resumed(t, old); c.Settings.Batch = 3 }, "has other settings: batch: 4 in the checkpoint, 3 here; leave out these flags"},
		{"another rate", data, func(c *Config) { *c = resumed(t, old); c.Settings.Schedule.Base = 0.5 }, "schedule.base: 0.01 in the checkpoint, 0.5 here"},
		{"a schedule's state that cannot be", data, func(c *Config) { *c = resumed(t, old); c.Resume.Progress.Schedule = []byte(`{"drops":9}`) },
			"is damaged: state of the learning-rate schedule"},
		{"a position that cannot be", data, func(c *Config) { *c = resumed(t, old); c.Resume.Progress.StepInEpoch = 6 }, "is damaged: step 6 of an epoch of 5 steps"},
		{"no training split", onlyVal, nil, `has no split "train" to train on`},
		{"small images", small, nil, "has images of 6x6, too small for the 8x8 crops of net linear: ingest with a larger --size"},
		{"batch 0", data, func(c *Config) { c.Settings.Batch = 0 }, "batch of 0 images"},
		{"a batch larger than the engine's", data, func(c *Config) { c.Settings.Batch = 5 }, "batch of 5 images: the engine was made for at most 4"},
		{"momentum", data, func(c *Config) { c.Settings.Momentum = 1 }, "momentum 1: must be at least 0 and less than 1"},
		{"weight decay", data, func(c *Config) { c.Settings.WeightDecay = -1 }, "weight decay -1"},
		{"rate", data, func(c *Config) { c.Settings.Schedule = sgd.Config{Kind: sgd.Constant} }, "learning rate 0"},
		{"colour", data, func(c *Config) { c.Settings.Color = "sepia" }, `unknown colour scale "sepia"`},
		{"divisor", data, func(c *Config) { c.Settings.ColorDivisor = math.Inf(1) }, "a divisor of +Inf for images with shifted colours"},
		{"crop group", data, func(c *Config) { c.Settings.CropGroup = -1 }, "-1 images that share a crop: must lie between 1 and"},
		{"other crops", data, func(c *Config) { *c = resumed(t, old); c.Settings.CropGroup = 3 }, "has other settings: crop_group: nothing in the checkpoint, 3 here; leave out these flags"},
		{"shuffle", data, func(c *Config) { c.Settings.Shuffle = 7 }, "shuffle Shuffle(7): must be global or block"},
		{"a window of a global shuffle", data, func(c *Config) { c.Settings.Window = 7 }, "a window of 7 records is for block shuffle, and the shuffle is global"},
		{"a negative window", data, func(c *Config) { c.Settings.Shuffle, c.Settings.Window = pipeline.ShuffleBlock, -1 }, "window of -1 records: must lie between 1 and 2147483648"},
		{"on-corrupt", data, func(c *Config) { c.Limits.OnCorrupt = 7 }, "on-corrupt OnCorrupt(7): must be stop or skip"},
		{"another shuffle", data, func(c *Config) {
			*c = resumed(t, old)
			c.Settings.Shuffle, c.Settings.Window = pipeline.ShuffleBlock, 7
		},
			"has other settings: shuffle: global in the checkpoint, block here, window: nothing in the checkpoint, 7 here; leave out these flags"},
		{"a precision", data, func(c *Config) { c.Settings.Precision = "fp8" }, `precision "fp8": must be fp32, bf16 or tf32`},
		{"another precision", data, func(c *Config) { *c = resumed(t, old); c.Settings.Precision = BF16 },
			"has other settings: precision: fp32 in the checkpoint, bf16 here; leave out these flags"},
		{"another window", data, func(c *Config) {
			*c = resumed(t, windowed)
			c.Settings.Shuffle, c.Settings.Window = pipeline.ShuffleBlock, 8
		},
			"has other settings: window: 7 in the checkpoint, 8 here; leave out these flags"},
		{"settings that are none", data, func(c *Config) { *c = resumed(t, old); c.Resume.Settings = []byte("[]") }, "is damaged: its settings: "},
		{"block settings that are none", data, func(c *Config) {
			*c = resumed(t, old)
			c.Settings.Shuffle, c.Resume.Settings = pipeline.ShuffleBlock, []byte("[]")
		}, "is damaged: its settings: "},
		{"epochs", data, func(c *Config) { c.Limits.Epochs = 0 }, "0 epochs: must be at least 1"},
		{"log-every", data, func(c *Config) { c.Limits.LogEvery = -1 }, "log-every -1: must not be negative"},
		{"keep", data, func(c *Config) { c.Limits.Keep = 0 }, "0 checkpoints kept"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ds := dataset(t, tc.data)
			cfg := config(filepath.Join(t.TempDir(), "run"))
			if tc.change != nil {
				tc.change(&cfg)
			}
			_, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
			if cfg.Run == old || cfg.Run == windowed || cfg.Run == foreign {
				return
			}
			if _, err := os.Stat(cfg.Run); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a refused run has left its folder: %v", err)
			}
		})
	}
}

func TestAnotherNetOrOtherClassesAreRefused(t *testing.T) {
	ds := dataset(t, data)
	run := t.TempDir()
	train(t, config(run), ds, Hooks{})
	_, err := Run(t.Context(), resumed(t, run), traintest.NewEngine(traintest.Net(6, 10), seed, 4), ds, Hooks{})
	var mismatch *checkpoint.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Of != "net" || !strings.Contains(err.Error(), "has other net: input.h: 8 in the checkpoint, 10 here, input.w: ") {
		t.Errorf("another net: error %v", err)
	}
	fewer := data
	fewer.Classes = 5
	ds = dataset(t, fewer)
	_, err = Run(t.Context(), resumed(t, run), engine(ds), ds, Hooks{})
	if !errors.As(err, &mismatch) || mismatch.Of != "classes" || !strings.Contains(err.Error(), "6 classes in the checkpoint, 5 here") {
		t.Errorf("other classes: error %v", err)
	}
	_, err = Run(t.Context(), config(t.TempDir()), traintest.NewEngine(traintest.Net(6, 8), seed, 4), ds, Hooks{})
	if err == nil || !strings.Contains(err.Error(), ds.Dir+" has 5 classes, and net linear has 6 outputs") {
		t.Errorf("a net of other outputs: error %v", err)
	}
}

func TestUnlabelledRecords(t *testing.T) {
	unlabelled := data
	unlabelled.Unlabelled = true
	ds := dataset(t, unlabelled)
	_, err := Run(t.Context(), config(t.TempDir()), engine(ds), ds, Hooks{})
	if err == nil || !strings.Contains(err.Error(), `step 0: none of its 4 images has a label: split "train" of `+ds.Dir) {
		t.Errorf("error %v", err)
	}
}

func TestColourNeedsComponents(t *testing.T) {
	if _, err := (Settings{Color: "stddev"}).color(&records.Manifest{}); err == nil || !strings.Contains(err.Error(), `colour augmentation "stddev": pipeline: colour shifts need the principal components`) {
		t.Errorf("error %v", err)
	}
	if c, err := (Settings{Color: ColorNone}).color(&records.Manifest{}); c != nil || err != nil {
		t.Errorf("no colour: %v, %v", c, err)
	}
}

func TestReadConfig(t *testing.T) {
	run := t.TempDir()
	if _, err := ReadConfig(run); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), run+" is not the folder of a run") {
		t.Errorf("missing: error %v", err)
	}
	for _, text := range []string{"", "{}", `{"settings":{"precision":"fp64"}}`, `{"net":{"name":"x"}}`, "[]"} {
		path := filepath.Join(run, ConfigFile)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConfig(run); err == nil || !strings.Contains(err.Error(), path+" is damaged: ") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// A command that was given twice: the second run is refused before it changes anything of
// the first, which has no checkpoint yet.
func TestARunThatIsBeingTrained(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no locks that end with the process")
	}
	ds := dataset(t, data)
	whole, run := t.TempDir(), t.TempDir()
	train(t, config(whole), ds, Hooks{})
	train(t, config(run), ds, Hooks{Step: func(step int) {
		if step != 2 {
			return
		}
		var busy *report.BusyError
		if _, err := Run(t.Context(), config(run), engine(ds), ds, Hooks{}); !errors.As(err, &busy) {
			t.Errorf("error %v", err)
		}
	}})
	checkSame(t, whole, run)
}
