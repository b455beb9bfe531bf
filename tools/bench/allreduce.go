package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"alexnet/tools/cli"
	"alexnet/train/collective"
)

// summed is what the stage allreduce measured. The JSON names are the format of --json.
type summed struct {
	Stage     string `json:"stage"`
	Net       string `json:"net"`
	Ranks     int    `json:"ranks"`
	Transport string `json:"transport"` // "Open MPI 4.1.4"
	Values    int    `json:"values"`    // float32, of each rank
	Times     int    `json:"times"`     // that they were summed
	// Seconds is the median of them, Fastest the least.
	Seconds float64 `json:"seconds"`
	Fastest float64 `json:"fastest_seconds"`
	// Bytes is the size of the values divided by Seconds: what is called the algorithmic
	// bandwidth. Bus is the bandwidth that a link must have for it, if each rank has one and
	// no sum is made on the way: of W ranks, 2(W-1)/W times as much.
	Bytes float64 `json:"bytes_per_second"`
	Bus   float64 `json:"bus_bytes_per_second"`
}

// allReduce sums the gradient of the net over the ranks, as train does, for about --time.
func (b *bench) allReduce(ctx context.Context) error {
	group := b.group
	if group == nil {
		var err error
		if group, err = collective.Join(os.Getenv); err != nil {
			return err
		}
	}
	if group.World() == 1 {
		return cli.Usagef("--stage allreduce needs ranks: mpirun -n 2 bench --stage allreduce")
	}
	times, err := sumFor(ctx, group, int(b.net.ParamCount()), b.Time)
	if err == nil && group.Rank() == 0 {
		err = b.tellSums(newSummed(b.net.Name, int(b.net.ParamCount()), group, times))
	}
	if err != nil {
		return fmt.Errorf("allreduce: %w", err) // the launcher ends the other ranks
	}
	return group.Close()
}

// sumFor returns how long each sum took, until rank 0 finds that it was long enough. The
// first, which pays for buffers and connections, does not count.
func sumFor(ctx context.Context, group collective.Group, values int, duration time.Duration) (times []time.Duration, _ error) {
	gradient := make([]float32, values)
	r := collective.NewReducer(group)
	var began time.Time
	for i := 0; ; i++ {
		if err := group.Barrier(); err != nil {
			return nil, err
		}
		start := time.Now()
		r.Start(gradient)
		if err := r.Wait(); err != nil {
			return nil, err
		}
		if i == 0 {
			began = time.Now()
			continue
		}
		times = append(times, time.Since(start))
		over := []int64{0, 0}
		if group.Rank() == 0 && time.Since(began) >= duration {
			over[0] = 1
		}
		if ctx.Err() != nil {
			over[1] = 1
		}
		if err := collective.SumInts(group, over); err != nil {
			return nil, err
		}
		switch {
		case over[1] > 0:
			return nil, errors.Join(ctx.Err(), group.Close())
		case over[0] > 0:
			return times, nil
		}
	}
}

// newSummed works out what was measured.
func newSummed(net string, values int, group collective.Group, times []time.Duration) summed {
	slices.Sort(times)
	s := summed{Stage: "allreduce", Net: net, Ranks: group.World(), Transport: group.Name(), Values: values, Times: len(times),
		Seconds: times[len(times)/2].Seconds(), Fastest: times[0].Seconds()}
	s.Bytes = 4 * float64(values) / s.Seconds
	s.Bus = s.Bytes * 2 * float64(s.Ranks-1) / float64(s.Ranks)
	return s
}

// tellSums prints what was measured.
func (b *bench) tellSums(s summed) error {
	if b.JSON {
		return json.NewEncoder(b.stdout).Encode(s)
	}
	_, err := fmt.Fprintf(b.stdout, `allreduce over %d ranks, %s: the gradient of %s, %d values (%.0f MB), in buckets of %d MiB, %d times
seconds                 %.4f (median), %.4f (fastest)
algorithmic bandwidth   %s GB/s
bus bandwidth           %s GB/s: what a link to each rank must carry
`, s.Ranks, s.Transport, s.Net, s.Values, 4*float64(s.Values)/1e6, collective.BucketBytes>>20, s.Times, s.Seconds, s.Fastest, figures(s.Bytes/1e9), figures(s.Bus/1e9))
	return err
}
