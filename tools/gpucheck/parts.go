package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"alexnet/tools/cli"
)

// part is a group of checks or measurements.
type part struct {
	name   string
	limit  time.Duration
	timing bool // it measures time, which says nothing about what stands in for a GPU
	run    func(ctx context.Context, s *site, r *recorder) error
}

// allParts lists them in the order in which they run: what is right comes before what is
// fast. Their limits are those of a GPU that something is wrong with; together they are
// more than all may take, and the last ones get what is left.
func (f *flags) allParts() []part {
	return []part{
		{"machine", 45 * time.Second, false, checkMachine},
		{"kernels", 60 * time.Second, false, checkKernels},
		{"parity", 110 * time.Second, false, checkParity},
		{"repeat", 60 * time.Second, false, checkRepeat},
		{"resume", 60 * time.Second, false, checkResume},
		{"travel", 30 * time.Second, false, checkTravel},
		{"memory", 70 * time.Second, false, checkMemory},
		{"errors", 30 * time.Second, false, checkErrors},
		{"ranks", 60 * time.Second, false, checkRanks},
		{"bench", 110 * time.Second, true, bench},
		{"copies", 15 * time.Second, true, copies},
		{"layers", 40 * time.Second, true, layers},
		{"stream", 60 * time.Second, true, stream},
		{"torch", 150 * time.Second, true, f.torch},
	}
}

// parts returns those that --only asks for.
func (f *flags) parts() ([]part, error) {
	all := f.allParts()
	var names []string
	for _, p := range all {
		names = append(names, p.name)
	}
	for _, name := range f.Only {
		if !slices.Contains(names, name) {
			return nil, cli.Usagef("--only %s: there are %s", name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(all, func(p part) bool {
		return len(f.Only) > 0 && !slices.Contains(f.Only, p.name) || len(f.Only) == 0 && p.timing && f.Device != "gpu"
	}), nil
}
