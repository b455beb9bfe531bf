package main

import (
	"slices"
	"strings"
	"testing"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/soft"
)

// watched is a device that notes which kernels there are and which are launched, and
// leaves out those of some names.
type watched struct {
	device.Device
	there, launched []string
	lost            string
}

func (w *watched) Load(ptx string) (device.Module, error) {
	m, err := w.Device.Load(ptx)
	return watchedModule{m, w}, err
}

func (w *watched) NewStream() (device.Stream, error) {
	s, err := w.Device.NewStream()
	return watchedStream{s, w}, err
}

type watchedModule struct {
	device.Module
	w *watched
}

func (m watchedModule) Kernel(name string) (device.Kernel, error) {
	m.w.there = append(m.w.there, name)
	return m.Module.Kernel(name)
}

type watchedStream struct {
	device.Stream
	w *watched
}

func (s watchedStream) Launch(k device.Kernel, g device.Grid, args []uint64) error {
	s.w.launched = append(s.w.launched, k.Name())
	if s.w.lost != "" && strings.HasPrefix(k.Name(), s.w.lost) {
		return nil
	}
	return s.Stream.Launch(k, g, args)
}

// tryTwins plays all trials on a device of plain Go and returns the failures.
func tryTwins(t *testing.T, w *watched) (checks int, failures []string) {
	t.Helper()
	if testing.Short() {
		t.Skip("executes our kernels for some seconds")
	}
	d := soft.Open(soft.Options{Memory: 64 << 20, NoRaces: true})
	w.Device = d
	r := &recorder{each: func(res result) {
		checks++
		if res.Status != passed {
			failures = append(failures, res.What)
		}
	}}
	if err := twins(r, w); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return checks, failures
}

// TestTrials: every kernel that there is is tried, and is the same everywhere.
func TestTrials(t *testing.T) {
	w := &watched{}
	if n, failures := tryTwins(t, w); n < 25 || len(failures) > 0 {
		t.Errorf("%d trials, of which %q failed", n, failures)
	}
	for _, name := range w.there {
		if !slices.Contains(w.launched, name) {
			t.Errorf("no trial uses %s", name)
		}
	}
	if len(w.there) < 50 {
		t.Errorf("%d kernels", len(w.there))
	}
}

// TestTrialsSee: a kernel that does nothing is found out, in all its trials and no others.
func TestTrialsSee(t *testing.T) {
	_, failures := tryTwins(t, &watched{lost: "pool_backward"})
	if len(failures) != 12 {
		t.Errorf("%d trials failed, want 12: %q", len(failures), failures)
	}
	for _, f := range failures {
		if !strings.Contains(f, "pooling") {
			t.Errorf("%s failed", f)
		}
	}
}
