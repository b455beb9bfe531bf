package collective

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// each runs f for each of the ranks at once and returns their errors.
func each(ranks []Group, f func(g Group) error) []error {
	errs := make([]error, len(ranks))
	var wg sync.WaitGroup
	for r, g := range ranks {
		wg.Go(func() { errs[r] = f(g) })
	}
	wg.Wait()
	return errs
}

// exercise uses all of a group, and fails where it does not do what it promises. It is
// run with goroutines, and with processes under mpirun.
func exercise(g Group) error {
	rank, world := g.Rank(), g.World()
	for turn := range 20 {
		values := make([]float32, 1+turn*1000)
		for i := range values {
			values[i] = float32((rank + 1) * (i%7 + turn))
		}
		if err := g.AllReduce(values); err != nil {
			return err
		}
		for i, v := range values {
			if want := float32(world * (world + 1) / 2 * (i%7 + turn)); v != want {
				return fmt.Errorf("rank %d, turn %d: the sum of value %d is %g, want %g", rank, turn, i, v, want)
			}
		}
		all, err := g.AllGather(fmt.Appendf(nil, "<%d.%02d>", rank, turn))
		if err != nil {
			return err
		}
		var want []byte
		for r := range world {
			want = fmt.Appendf(want, "<%d.%02d>", r, turn)
		}
		if !bytes.Equal(all, want) {
			return fmt.Errorf("rank %d: gathered %q, want %q", rank, all, want)
		}
		floats, ints := []float64{float64(rank), 0.1}, []int64{int64(rank) << 40, -1}
		if err := errors.Join(SumFloats(g, floats), SumInts(g, ints), g.Barrier()); err != nil {
			return err
		}
		tenths := 0.0
		for range world {
			tenths += 0.1
		}
		triangle := world * (world - 1) / 2
		if err := exerciseReducer(NewReducer(g), g, turn); err != nil {
			return err
		}
		if floats[0] != float64(triangle) || floats[1] != tenths || ints[0] != int64(triangle)<<40 || ints[1] != int64(-world) {
			return fmt.Errorf("rank %d: sums are %v and %v", rank, floats, ints)
		}
	}
	if err := g.Close(); err != nil {
		return err
	}
	return g.Close() // once more
}

func TestGroups(t *testing.T) {
	if err := exercise(Alone{}); err != nil {
		t.Error("alone:", err)
	}
	for world := 1; world <= 5; world++ {
		if err := errors.Join(each(Goroutines(world), exercise)...); err != nil {
			t.Errorf("%d goroutines: %v", world, err)
		}
	}
}

// A rank that gives up ends the calls of the others, also those that begin later.
func TestAbort(t *testing.T) {
	errs := each(Goroutines(3), func(g Group) error {
		if g.Rank() == 1 {
			g.Abort(1)
			return nil
		}
		if err := g.Barrier(); err == nil {
			return errors.New("the barrier was passed")
		}
		return g.AllReduce(make([]float32, 3))
	})
	for _, rank := range []int{0, 2} {
		var aborted *AbortedError
		if !errors.As(errs[rank], &aborted) || aborted.Rank != 1 || !strings.Contains(aborted.Error(), "rank 1 has failed") {
			t.Errorf("rank %d: %v", rank, errs[rank])
		}
	}
}

func TestRanksThatAreNotInStep(t *testing.T) {
	for name, f := range map[string]func(g Group) error{
		"lengths": func(g Group) error { return g.AllReduce(make([]float32, 1+g.Rank())) },
		"bytes":   func(g Group) error { _, err := g.AllGather(make([]byte, 1+g.Rank())); return err },
		"calls": func(g Group) error {
			if g.Rank() == 0 {
				return g.Barrier()
			}
			return g.AllReduce(make([]float32, 1))
		},
	} {
		for rank, err := range each(Goroutines(2), f) {
			if err == nil || !strings.Contains(err.Error(), "not in step") {
				t.Errorf("%s: rank %d: %v", name, rank, err)
			}
		}
	}
	ranks := Goroutines(2)
	_ = ranks[0].Close()
	if err := ranks[0].Barrier(); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestBuckets(t *testing.T) {
	of := [][]float32{{0, 1, 2, 3, 4}, {}, {5}, {6, 7, 8, 9}}
	want := [][]float32{{6, 7}, {8, 9}, {5}, {0, 1}, {2, 3}, {4}}
	if got := buckets(of, 2); !reflect.DeepEqual(got, want) {
		t.Errorf("buckets are %v, want %v", got, want)
	}
	large := make([]float32, BucketBytes/4+1)
	if got := Buckets([][]float32{large}); len(got) != 2 || len(got[0])*4 != BucketBytes || &got[0][0] != &large[0] {
		t.Errorf("a slice of a little more than a bucket comes in %d parts", len(got))
	}
}

func TestLaunched(t *testing.T) {
	for name, tc := range map[string]struct {
		env     string
		several bool
		ranks   int
		err     string // of what cannot be joined
	}{
		"nothing":             {"", false, 0, ""},
		"mpirun":              {"OMPI_COMM_WORLD_SIZE=2 PMIX_RANK=1", true, 2, ""},
		"mpirun of one":       {"OMPI_COMM_WORLD_SIZE=1 PMIX_RANK=0", false, 1, ""},
		"srun with pmix":      {"SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3 SLURM_MPI_TYPE=pmix PMIX_RANK=3", true, 4, ""},
		"srun without":        {"SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3 SLURM_MPI_TYPE=none", true, 4, `"none"`},
		"srun of one":         {"SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 SLURM_MPI_TYPE=pmix PMIX_RANK=0", false, 0, ""},
		"a batch script":      {"SLURM_NTASKS=4 SLURM_PROCID=0", false, 0, ""},
		"another of PMIx":     {"PMIX_RANK=1", true, 0, ""},
		"MPICH":               {"PMI_SIZE=2 PMI_RANK=0", true, 2, "PMIx"},
		"MPICH of one":        {"PMI_SIZE=1 PMI_RANK=0", false, 0, ""},
		"torchrun":            {"WORLD_SIZE=2 RANK=0 LOCAL_RANK=0", true, 2, "no MPI"},
		"torchrun of one":     {"WORLD_SIZE=1 RANK=0", false, 0, ""},
		"mpirun within srun":  {"OMPI_COMM_WORLD_SIZE=2 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0", true, 2, ""},
		"a size that is none": {"OMPI_COMM_WORLD_SIZE=many", true, 0, ""},
	} {
		l, several := launched(environment(tc.env))
		if several != tc.several || several && l.ranks != tc.ranks {
			t.Errorf("%s: %+v, several %v", name, l, several)
		}
		if (l.err != nil) != (tc.err != "") || l.err != nil && !strings.Contains(l.err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", name, l.err, tc.err)
		}
	}
}

// environment returns a lookup of "NAME=value NAME=value".
func environment(text string) func(string) string {
	return func(name string) string {
		for _, field := range strings.Fields(text) {
			if n, v, _ := strings.Cut(field, "="); n == name {
				return v
			}
		}
		return ""
	}
}

// One of several ranks never trains alone because something is missing.
func TestJoin(t *testing.T) {
	if g, err := Join(environment("")); err != nil || g != (Alone{}) {
		t.Errorf("without a launcher: %v, %v", g, err)
	}
	for env, want := range map[string]string{
		"OMPI_COMM_WORLD_SIZE=2 ALEXNET_MPI=/no/such/libmpi.so": "Open MPI's mpirun has started 2 ranks, and this one cannot join them",
		"PMIX_RANK=0 ALEXNET_MPI=/no/such/libmpi.so":            "has started several ranks",
		"PMI_SIZE=2": "mpirun, or with srun --mpi=pmix",
	} {
		g, err := Join(environment(env))
		var failed *LaunchError
		if g != nil || !errors.As(err, &failed) || failed.Hint == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", env, g, err)
		}
	}
}
