package loop

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/train/checkpoint"
	"alexnet/train/sgd"
)

// The environment of the helper process: the run's folder, the records, where it
// dies ("step N", or "file NAME" for the middle of writing that file), and the
// names of what is changed in its configuration.
const (
	helperRun     = "ALEXNET_LOOP_TEST_RUN"
	helperRecords = "ALEXNET_LOOP_TEST_RECORDS"
	helperDeath   = "ALEXNET_LOOP_TEST_DEATH"
	helperVariant = "ALEXNET_LOOP_TEST_VARIANT"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperRun) != "" {
		fmt.Println(runAndDie())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// die kills the process as kill -9 does: nothing is flushed, no defer runs.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

// runAndDie trains until the moment of death. It returns only if that never comes.
func runAndDie() error {
	ds, err := records.Open(os.Getenv(helperRecords))
	if err != nil {
		return err
	}
	what, where, _ := strings.Cut(os.Getenv(helperDeath), " ")
	cfg := variant(config(os.Getenv(helperRun)), os.Getenv(helperVariant))
	cfg.writeFile = func(path string, fill func(io.Writer) error) error {
		return atomicfile.Write(path, func(w io.Writer) error {
			if what == "file" && filepath.Base(path) == where {
				w = &deadly{w, 1000}
			}
			return fill(w)
		})
	}
	_, err = Run(context.Background(), cfg, engine(ds), ds, Hooks{Step: func(step int) {
		if what == "step" && fmt.Sprint(step) == where {
			die()
		}
	}})
	return fmt.Errorf("the run came to its end, error %w", err)
}

// variant changes a configuration by names of changes.
func variant(cfg Config, names string) Config {
	for _, name := range strings.Fields(names) {
		switch name {
		case "block":
			cfg = blocks(cfg)
		case "skip":
			cfg.Limits.OnCorrupt = pipeline.Skip
		case "cosine":
			cfg.Settings.Schedule = sgd.Config{Kind: sgd.Cosine, Base: 0.01, Epochs: epochs, WarmupSteps: 7}
		case "accumulate": // nine batches of an epoch are four pairs and one more
			cfg.Settings.Batch, cfg.Settings.Accumulate = 2, 2
		case "clip":
			cfg.Settings.ClipNorm = 0.5
		case "colors":
			cfg.Settings.ColorEpochs, cfg.Settings.ColorDivisor, cfg.Settings.CropGroup = 1, 1.1, 3
		case "lars":
			cfg.Settings.Optimizer, cfg.Settings.TrustCoefficient = LARS, 0.05
			cfg.Settings.Schedule = sgd.Config{Kind: sgd.Poly, Base: 2, Power: 2, Epochs: epochs, WarmupSteps: 5}
		case "average":
			cfg.Settings.EMA = 0.8
		default:
			panic(name)
		}
	}
	return cfg
}

// deadly kills the process once so many bytes are written.
type deadly struct {
	w    io.Writer
	left int
}

func (d *deadly) Write(p []byte) (int, error) {
	n, err := d.w.Write(p[:min(len(p), d.left)])
	if d.left -= n; d.left == 0 {
		if f, ok := d.w.(interface{ Flush() error }); ok {
			_ = f.Flush()
		}
		die()
	}
	return n, err
}

// A run that is killed and resumed writes the same metrics and the same last
// checkpoint, bit for bit, as one that is not.
func TestKilledAndResumed(t *testing.T) {
	checkKilled(t, dataset(t, data), "")
}

// So does one with block shuffle, one that skips damaged records, and one with rates
// that change with each step.
func TestKilledAndResumedVariants(t *testing.T) {
	t.Run("block shuffle", func(t *testing.T) { checkKilled(t, dataset(t, data), "block") })
	t.Run("skipping", func(t *testing.T) { checkKilled(t, damaged(t), "skip") })
	t.Run("cosine", func(t *testing.T) { checkKilled(t, dataset(t, data), "cosine") })
	t.Run("average", func(t *testing.T) { checkKilled(t, dataset(t, data), "average") })
	t.Run("accumulating", func(t *testing.T) { checkKilled(t, dataset(t, data), "accumulate clip average") })
	t.Run("lars", func(t *testing.T) { checkKilled(t, dataset(t, data), "accumulate lars average") })
	t.Run("colors", func(t *testing.T) { checkKilled(t, dataset(t, data), "colors") })
	t.Run("both", func(t *testing.T) {
		ds := dataset(t, inShards)
		damage(t, ds, badShard)
		checkKilled(t, ds, "block skip")
	})
}

// checkKilled kills and resumes a variant of the usual run.
func checkKilled(t *testing.T, ds *records.Dataset, names string) {
	whole := filepath.Join(t.TempDir(), "whole")
	train(t, variant(config(whole), names), ds, Hooks{})
	for i, tc := range []struct {
		death string
		saved int // step of the checkpoint that is left, -1 for none
	}{
		{"step 2", -1},
		{"step 4", 4},
		{"step 5", 4}, // before the validation and the epoch's checkpoint
		{"step 7", 5},
		{"step 11", 10},
		{"file step-00000008.safetensors", 5},
		{"file step-00000010.safetensors", 8}, // the epoch's line is in the metrics already
	} {
		if names != "" && i%2 == 1 {
			continue // variants do not need them all
		}
		t.Run(tc.death, func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run")
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), helperRun+"="+run, helperRecords+"="+ds.Dir, helperDeath+"="+tc.death, helperVariant+"="+names)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.Exited() && cmd.ProcessState.ExitCode() == 1 && len(out) > 0 {
				t.Fatalf("the process was not killed: %v\n%s", err, out)
			}
			saved := -1
			cfg := variant(resumed(t, run), names)
			if cfg.Resume != nil {
				saved = cfg.Resume.Progress.Step
			}
			if saved != tc.saved {
				t.Fatalf("the newest checkpoint is of step %d, want %d", saved, tc.saved)
			}
			train(t, cfg, ds, Hooks{})
			checkSame(t, whole, run)
			if left, _ := filepath.Glob(filepath.Join(run, checkpoint.Folder, "*.tmp-*")); len(left) > 0 {
				t.Errorf("temporaries are left: %v", left)
			}
		})
	}
}
