package collective

import "testing"

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
