package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// marker is a file in a demo's folder by which the next demo knows that it may be
// replaced.
const marker = ".alexnet-demo"

// commands are the ones that the demo runs, with their folders in the module.
var commands = map[string]string{ //nolint:gochecknoglobals // a constant table
	"mkilsvrc": "./tools/mkilsvrc",
	"ingest":   "./ingest",
	"inspect":  "./tools/inspect",
	"train":    "./train",
	"evaluate": "./tools/evaluate",
}

// demo is one run of all commands.
type demo struct {
	flags *flags
	out   io.Writer
	bin   string // folder of the commands
	began time.Time
}

// newDemo makes the demo's folder anew.
func newDemo(f *flags, out io.Writer) (*demo, error) {
	if f.Classes < 2 {
		return nil, fmt.Errorf("a demo with %d classes shows nothing: take 2 or more", f.Classes)
	}
	entries, err := os.ReadDir(f.Out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(f.Out, marker)); err != nil {
			return nil, fmt.Errorf("%s is not empty and was not made by a demo: remove it or name another folder with --out", f.Out)
		}
		if err := os.RemoveAll(f.Out); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(f.Out, 0o777); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(f.Out, marker), nil, 0o666); err != nil {
		return nil, err
	}
	return &demo{flags: f, out: out, bin: filepath.Join(f.Out, "bin"), began: time.Now()}, nil
}

// run finds or builds the commands and runs them.
func (d *demo) run(ctx context.Context) error {
	if err := d.find(ctx); err != nil {
		return err
	}
	f := d.flags
	path := func(name string) string { return filepath.Join(f.Out, name) }
	pictures, records, run := path("pictures"), path("records"), path("run")
	for _, step := range [][]string{
		{"mkilsvrc", "--out", pictures, "--layout", "tars", "--seed", text(f.Seed),
			"--classes", text(f.Classes), "--per-class", text(f.Train), "--val-per-class", text(f.Val)},
		{"ingest", "--src", pictures, "--out", records, "--size", "72"},
		{"inspect", "verify", records},
		{"inspect", "sheet", records, "--crop", "64", "--pictures", text(min(f.Classes, 8)), "--png", path("sheet.png")},
		{"train", "--records", records, "--run", run, "--net", "alexnet-small", "--seed", text(f.Seed),
			"--epochs", text(f.Epochs), "--batch", "16", "--schedule", "step", "--drop-at", text(max(1, f.Epochs*4/5))},
	} {
		if err := d.command(ctx, nil, step...); err != nil {
			return err
		}
	}
	var center, ten accuracy
	if err := d.evaluate(ctx, &center, records, run, 1); err != nil {
		return err
	}
	if err := d.evaluate(ctx, &ten, records, run, 10, "--report", path("report"), "--neighbours", "4"); err != nil {
		return err
	}
	d.report(center, ten)
	return nil
}

// find looks for the commands beside the demo's own program, where go install puts
// them together, and builds them from source otherwise.
func (d *demo) find(ctx context.Context) error {
	if self, err := os.Executable(); err == nil {
		together := true
		for name := range commands {
			_, err := os.Stat(filepath.Join(filepath.Dir(self), name+suffix()))
			together = together && err == nil
		}
		if together {
			d.bin = filepath.Dir(self)
			return nil
		}
	}
	fmt.Fprintf(d.out, "building the commands in %s\n", d.bin)
	args := []string{"build", "-o", d.bin + string(filepath.Separator)}
	for _, folder := range commands {
		args = append(args, folder)
	}
	if err := os.MkdirAll(d.bin, 0o777); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the commands: %w; run the demo from the folder of the repository", err)
	}
	fmt.Fprintf(d.out, "(%s)\n", time.Since(d.began).Round(time.Second))
	return nil
}

// command shows a command line and runs it. Its standard output is shown too, or
// kept in output when that is not nil.
func (d *demo) command(ctx context.Context, output *bytes.Buffer, args ...string) error {
	fmt.Fprintf(d.out, "\n$ %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, args[0]+suffix()), args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it saves what it has
	cmd.WaitDelay = 30 * time.Second
	cmd.Stdout, cmd.Stderr = d.out, os.Stderr
	if output != nil {
		cmd.Stdout = output
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// accuracy is what the demo reads of evaluate's answer.
type accuracy struct {
	Images int `json:"images"`
	Top1   int `json:"top1_correct"`
}

func (a accuracy) String() string {
	return fmt.Sprintf("%5.1f %%  (%d of %d)", 100*float64(a.Top1)/float64(a.Images), a.Top1, a.Images)
}

// evaluate measures the trained net and reads the answer into a.
func (d *demo) evaluate(ctx context.Context, a *accuracy, records, run string, views int, more ...string) error {
	var output bytes.Buffer
	args := append([]string{"evaluate", "--records", records, "--checkpoint", run, "--views", text(views), "--json"}, more...)
	err := d.command(ctx, &output, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(output.Bytes(), a); err != nil || a.Images == 0 {
		return fmt.Errorf("evaluate gave no result that can be read: %q: %w", output.String(), err)
	}
	fmt.Fprintf(d.out, "right: %v\n", a) // of a line with much more
	return nil
}

// report sums up.
func (d *demo) report(center, ten accuracy) {
	f := d.flags
	page := filepath.Join(f.Out, "report", "index.html") // the longest
	in := func(name string) string { return fmt.Sprintf("%-*s", len(page), filepath.Join(f.Out, name)) }
	fmt.Fprintf(d.out, `
Validation top-1, %d classes
  by chance     %5.1f %%
  centre view   %s
  ten views     %s

Where everything is
  %s  the archives that ingest read
  %s  Arrow shards, mean image, manifest
  %s  what the network saw: open it
  %s  metrics.jsonl, checkpoints, summary.json
  %s  what it has learned: open it in a browser

All of it took %s. On real photographs:
  go install ./ingest ./train ./tools/...
  ingest --src ILSVRC2012 --out out          # the folders, or the archives as downloaded
  inspect sheet out --crop 224 --png sheet.png
  train --records out --run runs/alexnet
  evaluate --records out --checkpoint runs/alexnet --views 10 --report report
`, f.Classes, 100/float64(f.Classes), center, ten,
		in("pictures"), in("records"), in("sheet.png"), in("run"), page, time.Since(d.began).Round(time.Second))
}

// text writes a flag's value.
func text[T int | uint64](v T) string { return strconv.FormatUint(uint64(v), 10) }

// suffix is what the names of programs end with.
func suffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
