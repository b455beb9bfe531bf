package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"alexnet/tools/cli"
	"alexnet/train/collective"
)

// Rank 0 tells what all ranks have summed.
func TestAllReduce(t *testing.T) {
	for _, args := range [][]string{{"--json"}, nil} {
		args = append(args, "--stage", "allreduce", "--net", "lenet", "--time", "1ms")
		outs := make([]bytes.Buffer, 3)
		var errs bytes.Buffer
		var wg sync.WaitGroup
		for r, group := range collective.Goroutines(len(outs)) {
			wg.Go(func() {
				f := &flags{stdout: &outs[r], stderr: &errs, group: group}
				if status := cli.Run(t.Context(), "bench", description, f, args, &outs[r], &errs); status != cli.Done {
					t.Errorf("rank %d: status %d: %s", r, status, errs.String())
				}
			})
		}
		wg.Wait()
		if outs[1].Len()+outs[2].Len() > 0 {
			t.Errorf("rank 1 said %q, rank 2 %q", outs[1].String(), outs[2].String())
		}
		if len(args) == 6 {
			if text := outs[0].String(); !strings.HasPrefix(text, "allreduce over 3 ranks, goroutines: the gradient of lenet, ") {
				t.Errorf("said %q", text)
			}
			continue
		}
		var s summed
		if err := json.Unmarshal(outs[0].Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Stage != "allreduce" || s.Ranks != 3 || s.Times < 1 || !(s.Fastest > 0) || s.Fastest > s.Seconds || !near(s.Bytes*s.Seconds, float64(4*s.Values)) || !near(s.Bus, s.Bytes*4/3) {
			t.Errorf("%+v", s)
		}
	}
}

func TestAllReduceAlone(t *testing.T) {
	for want, args := range map[string][]string{
		"needs ranks: mpirun -n 2 bench": {"--stage", "allreduce"},
		"is a stage on its own":          {"--stage", "allreduce,train"},
		"--result and --stage allreduce": {"--stage", "allreduce", "--result"},
	} {
		t.Setenv("OMPI_COMM_WORLD_SIZE", "")
		if status, _, errs := run(t, args...); status != cli.Usage || !strings.Contains(errs, want) {
			t.Errorf("%v: status %d, %s", args, status, errs)
		}
	}
}
