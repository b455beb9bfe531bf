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
