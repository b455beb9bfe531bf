package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"alexnet/model"
	"alexnet/tools/cli"
)

// checkMachine says what is there.
func checkMachine(ctx context.Context, s *site, r *recorder) error {
	for _, name := range slices.Sorted(maps.Keys(s.about)) {
		r.fact(name, name, s.about[name])
	}
	if s.device == nil {
		r.skip("device", "there is none")
		return nil
	}
	i := s.device.Info()
	r.fact("device", "device", fmt.Sprintf("%s, compute capability %d.%d, %d multiprocessors, %s MiB", i.Name, i.Major, i.Minor, i.Units, cli.FormatCount(i.Memory>>20)))
	r.fact("driver", "driver", fmt.Sprintf("for CUDA %d.%d and before; %s", i.Driver/1000, i.Driver%1000/10, i.Library))
	free, err := s.device.FreeMemory()
	if err != nil {
		return err
	}
	r.measure("free memory", float64(free>>20), "MiB", "")
	r.fact("libraries", "libraries", s.library.Name())
	if !s.standsIn {
		if text, err := asked(ctx, s.ordinal); err != nil {
			r.skip("nvidia-smi", err.Error())
		} else {
			r.fact("", "nvidia-smi", text)
		}
	}
	net, err := s.net()
	if err != nil {
		return err
	}
	for _, precision := range s.precisions {
		o := settings{batch: s.batch, seed: 1, precision: precision}
		r.failing("an engine of "+precision, func() error {
			return s.with(net, s.start(net), o, func(e model.Engine) error {
				about := ""
				if a, ok := e.(model.ArithmeticEngine); ok {
					about = a.Arithmetic()
				}
				r.fact("", "an engine of "+precision, about)
				return nil
			})
		})
	}
	for _, path := range loaded("/proc/self/maps") {
		r.fact("", "loaded", path)
	}
	return nil
}

// loaded returns the files of NVIDIA's libraries that this process has, where the system
// tells.
func loaded(maps string) []string {
	text, err := os.ReadFile(maps)
	if err != nil {
		return nil
	}
	var paths []string
	for line := range strings.Lines(string(text)) {
		_, path, ok := strings.Cut(strings.TrimSpace(line), "/")
		path = "/" + path
		name := filepath.Base(path)
		known := strings.HasPrefix(name, "libcuda.") || strings.HasPrefix(name, "libcudnn") || strings.HasPrefix(name, "libcublas")
		if ok && known && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// asked returns what NVIDIA's own tool says of a GPU, which knows more than a program's
// interface does.
func asked(ctx context.Context, ordinal int) (string, error) {
	fields := []string{"driver_version", "clocks.max.sm", "power.limit", "pcie.link.gen.max", "pcie.link.width.max", "mig.mode.current", "ecc.mode.current"}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--id="+fmt.Sprint(ordinal), "--format=csv,noheader", "--query-gpu="+strings.Join(fields, ",")).Output()
	if err != nil {
		return "", err
	}
	values := strings.Split(strings.TrimSpace(string(out)), ", ")
	if len(values) != len(fields) {
		return "", fmt.Errorf("%q has not %d fields", out, len(fields))
	}
	for i, f := range fields {
		values[i] = strings.ReplaceAll(f, "_", " ") + " " + values[i]
	}
	return strings.Join(values, ", "), nil
}
