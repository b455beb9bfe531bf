package main

import (
	"fmt"
	"io"

	"alexnet/model"
)

// machine is a rank by itself.
type machine struct {
	name string
	rate float64 // images a second
}

// known are the machines of the tables: ours is measured, the others are not.
func known() []machine {
	return []machine{
		{"two cores of a Xeon, bfloat16 (measured: tools/bench)", 206},
		{"an A100, float16 (published, synthetic images; not ours)", 16487},
		{"an H200, bfloat16 (limit by arithmetic; not measured)", 135000},
	}
}

// bucket is what is summed at a time (train/collective).
const bucket = 25 << 20

// step is the time of a step of one of several ranks, in seconds.
type step struct {
	compute float64 // forward, backward and update of its slice
	sum     float64 // of the gradients over the ranks, by itself
	exposed float64 // of that, what is left when it begins while backward still runs
}

// ring is the time of a ring all-reduce of so many bytes: each rank sends, in 2(W-1)
// messages, 2(W-1)/W of them.
func ring(bytes float64, ranks int, gbit, latency float64) float64 {
	w := float64(ranks)
	return 2*(w-1)/w*bytes*8/(gbit*1e9) + 2*(w-1)*latency
}

// estimate reckons a step. The time of the computation is dealt to the layers by their
// multiply-adds, once forward and twice backward, but once for the first layer, which
// has no gradient of the images. A layer's gradient is summed, in buckets and one after
// the other, from the moment that its backward pass is done.
func estimate(net *model.Net, m machine, batch, ranks int, gbit, latency float64) step {
	var forward, backward []float64
	var all float64
	rows := net.Table()
	for _, r := range rows {
		f, b := float64(r.MACs), 2*float64(r.MACs)
		if r.MACs > 0 && all == 0 {
			b = f
		}
		forward, backward = append(forward, f), append(backward, b)
		all += f + b
	}
	s := step{compute: float64(batch) / m.rate}
	now, free := 0.0, 0.0 // of the processor and of the network
	for _, f := range forward {
		now += s.compute * f / all
	}
	for i := len(rows) - 1; i >= 0; i-- {
		now += s.compute * backward[i] / all
		for left := 4 * float64(rows[i].Params); left > 0; left -= bucket {
			took := ring(min(left, bucket), ranks, gbit, latency)
			s.sum += took
			free = max(free, now) + took
		}
	}
	s.exposed = max(0, free-s.compute)
	return s
}

// writeTraining prints a table for each machine.
func (f *flags) writeTraining(out io.Writer, net *model.Net, machines []machine) error {
	for _, m := range machines {
		_, err := fmt.Fprintf(out, `Estimate: a step of `+"`%s`"+` (%.0f MB of gradients), ranks of %s: %g images/s alone.

| ranks | batch | Gbit/s | computing | sum of gradients | of it hidden | step | images/s | efficiency | without overlap |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`, net.Name, 4*float64(net.ParamCount())/1e6, m.name, m.rate)
		if err != nil {
			return err
		}
		for _, w := range f.Ranks {
			batch := min(f.Batch, f.Largest/w)
			for _, g := range f.Gbit {
				s := estimate(net, m, batch, w, g, f.Latency*1e-6)
				took := s.compute + s.exposed
				_, err := fmt.Fprintf(out, "| %d | %d | %g | %s | %s | %s | %s | %.0f | %s | %s |\n", w, w*batch, g, seconds(s.compute), seconds(s.sum), percent(s.sum-s.exposed, s.sum),
					seconds(took), float64(w*batch)/took, percent(s.compute, took), percent(s.compute, s.compute+s.sum))
				if err != nil {
					return err
				}
			}
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	return nil
}

// percent writes the share of a part, and nothing of nothing.
func percent(part, whole float64) string {
	share := 100 * part / whole
	switch {
	case whole == 0:
		return "-"
	case share < 10:
		return fmt.Sprintf("%.1f %%", share)
	}
	return fmt.Sprintf("%.0f %%", share)
}

// seconds writes a time in a unit that suits it.
func seconds(s float64) string {
	switch {
	case s < 1:
		return fmt.Sprintf("%.3g ms", 1000*s)
	case s < 120:
		return fmt.Sprintf("%.3g s", s)
	case s < 7200:
		return fmt.Sprintf("%.3g min", s/60)
	}
	return fmt.Sprintf("%.3g h", s/3600)
}
