package collective

import "strconv"

// LocalRank returns the number of this process among those that its launcher has started on
// this machine, from 0, as the launcher has left it in the environment, which env looks up:
// Open MPI's mpirun, Slurm's srun, or one that sets LOCAL_RANK. It is 0 where nothing says.
func LocalRank(env func(string) string) int {
	for _, name := range [...]string{"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "LOCAL_RANK"} {
		if n, err := strconv.Atoi(env(name)); err == nil && n >= 0 {
			return n
		}
	}
	return 0
}
