package collective

import (
	"runtime"
	"testing"
)

func TestLocalRank(t *testing.T) {
	for text, want := range map[string]int{
		"":                             0,
		"OMPI_COMM_WORLD_LOCAL_RANK=3": 3,
		"SLURM_LOCALID=2":              2,
		"LOCAL_RANK=1 RANK=5":          1,
		"OMPI_COMM_WORLD_LOCAL_RANK=1 SLURM_LOCALID=0": 1, // mpirun in a job
		"OMPI_COMM_WORLD_LOCAL_RANK=x SLURM_LOCALID=2": 2,
		"SLURM_LOCALID=-1": 0,
	} {
		if got := LocalRank(environment(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// Ranks know how many of them share a machine.
func TestBeside(t *testing.T) {
	if n, err := Beside(Alone{}); n != 1 || err != nil {
		t.Errorf("alone: %d, %v", n, err)
	}
	machines := []string{"a", "b", "a", "a", "c"}
	want := []int{3, 1, 3, 3, 1}
	each(Goroutines(len(machines)), func(g Group) error {
		if n, err := beside(g, machines[g.Rank()]); n != want[g.Rank()] || err != nil {
			t.Errorf("rank %d: %d, %v", g.Rank(), n, err)
		}
		if n, err := Beside(g); n != g.World() || err != nil {
			t.Errorf("rank %d on this machine: %d, %v", g.Rank(), n, err)
		}
		return nil
	})
}

// Ranks share processors with those that may use the same ones.
func TestProcessors(t *testing.T) {
	if s, err := Processors(Alone{}, 7); s != (Shared{Own: 7}) || err != nil {
		t.Errorf("alone: %+v, %v", s, err)
	}
	if a := affinity(0); runtime.GOOS == "linux" && a == (mask{}) {
		t.Error("this process may use no processor")
	}
	of := func(cpus ...int) (m mask) {
		for _, c := range cpus {
			m[c/8] |= 1 << (c % 8)
		}
		return m
	}
	for name, c := range map[string]struct {
		places string // a letter a rank
		masks  []mask
		usable int
		want   []int
		bound  int
	}{
		"bound to a core each":     {"aa", []mask{of(0), of(1)}, 1, []int{1, 1}, 2},
		"not bound":                {"aa", []mask{of(0, 1, 2, 3), of(0, 1, 2, 3)}, 4, []int{2, 2}, 4},
		"three on one":             {"aaa", []mask{of(5), of(5), of(5)}, 1, []int{1, 1, 1}, 1},
		"three on three":           {"aaa", []mask{of(0, 9, 700), of(0, 9, 700), of(0, 9, 700)}, 3, []int{1, 1, 1}, 3},
		"bound to a socket":        {"aaaa", []mask{of(0, 1, 2, 3), of(0, 1, 2, 3), of(4, 5, 6, 7), of(4, 5, 6, 7)}, 4, []int{2, 2, 2, 2}, 8},
		"one of them bound":        {"aa", []mask{of(0, 1, 2, 3), of(3)}, 4, []int{3, 1}, 4},
		"two machines":             {"aab", []mask{of(0, 1), of(0, 1), of(0, 1)}, 2, []int{1, 1, 2}, 2},
		"a share of the processor": {"aa", []mask{of(0, 1, 2, 3, 4, 5, 6, 7), of(0, 1, 2, 3, 4, 5, 6, 7)}, 4, []int{2, 2}, 8},
		"not known":                {"aa", []mask{{}, {}}, 4, []int{4, 4}, 0},
	} {
		each(Goroutines(len(c.places)), func(g Group) error {
			usable := c.usable
			if name == "one of them bound" && g.Rank() == 1 {
				usable = 1
			}
			want := Shared{Own: c.want[g.Rank()], Bound: c.bound, Free: 3}
			if s, err := processors(g, c.places[g.Rank():][:1], c.masks[g.Rank()], of(1, 2, 700), usable); s != want || err != nil {
				t.Errorf("%s: rank %d: %+v, %v; want %+v", name, g.Rank(), s, err, want)
			}
			return nil
		})
	}
}
