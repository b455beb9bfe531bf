package collective

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Variable names the environment variable that chooses the library: the path of a
// libmpi.so of Open MPI.
const Variable = "ALEXNET_MPI"

// LaunchError says that this process was started as one of several ranks and cannot
// become one.
type LaunchError struct {
	// Launcher is what has started it, Ranks how many ranks that said there are, 0 if it
	// did not say.
	Launcher string
	Ranks    int
	Err      error
	Hint     string // what to do
}

// Error implements error.
func (e *LaunchError) Error() string {
	ranks := "several ranks"
	if e.Ranks > 0 {
		ranks = fmt.Sprintf("%d ranks", e.Ranks)
	}
	return fmt.Sprintf("%s has started %s, and this one cannot join them: %v; %s", e.Launcher, ranks, e.Err, e.Hint)
}

// Unwrap returns the cause.
func (e *LaunchError) Unwrap() error { return e.Err }

// launch is what the environment says.
type launch struct {
	launcher string
	ranks    int   // 0: it does not say
	err      error // why these ranks cannot be joined at all, whatever there is
}

const (
	hintMPI   = "start them with Open MPI's mpirun, or with srun --mpi=pmix"
	hintMPICH = "MPICH and its relatives (Intel MPI, MVAPICH) have another binary interface: " + hintMPI
)

// launched finds out what has started this process. It reports false for a process that
// nothing says to be one of several.
func launched(env func(string) string) (launch, bool) {
	count := func(name string) int {
		n, _ := strconv.Atoi(env(name)) // what is no number says nothing
		return n
	}
	switch {
	case env("OMPI_COMM_WORLD_SIZE") != "":
		return launch{launcher: "Open MPI's mpirun", ranks: count("OMPI_COMM_WORLD_SIZE")}, count("OMPI_COMM_WORLD_SIZE") != 1
	case count("PMI_SIZE") > 1 && env("PMIX_RANK") == "":
		l := launch{launcher: "a launcher of MPICH's kind (PMI)", ranks: count("PMI_SIZE"), err: errors.New("it does not speak PMIx")}
		return l, true
	// A batch script, too, has a SLURM_PROCID, but it is no step.
	case count("SLURM_STEP_NUM_TASKS") > 1 && env("SLURM_PROCID") != "":
		l := launch{launcher: "srun", ranks: count("SLURM_STEP_NUM_TASKS")}
		if kind := env("SLURM_MPI_TYPE"); env("PMIX_RANK") == "" && kind != "" {
			l.err = fmt.Errorf("its MPI plugin is %q", kind)
		}
		return l, true
	case count("SLURM_STEP_NUM_TASKS") == 1:
		return launch{}, false
	case env("PMIX_RANK") != "":
		return launch{launcher: "a launcher that speaks PMIx"}, true
	case count("WORLD_SIZE") > 1 && env("RANK") != "":
		l := launch{launcher: "a launcher that sets RANK and WORLD_SIZE", ranks: count("WORLD_SIZE"), err: errors.New("it brings no MPI")}
		return l, true
	}
	return launch{}, false
}

// Join makes this process a rank of the run that it was started for. env looks up
// variables of the environment: os.Getenv. Where nothing says that there are several
// ranks the group is Alone; where something does and they cannot be joined, the error
// is a *LaunchError. A process can join once.
func Join(env func(string) string) (Group, error) {
	l, several := launched(env)
	if !several {
		return Alone{}, nil
	}
	fail := func(err error, hint string) (Group, error) {
		return nil, &LaunchError{Launcher: l.launcher, Ranks: l.ranks, Err: err, Hint: hint}
	}
	if l.err != nil {
		return fail(l.err, hintMPI)
	}
	g, err := openMPI(env(Variable))
	var other *otherMPIError
	switch {
	case errors.As(err, &other):
		return fail(err, hintMPICH)
	case err != nil:
		return fail(err, "install it: apt-get install libopenmpi3 (Debian 12) or libopenmpi40 (Debian 13), or set "+Variable+" to the path of Open MPI's libmpi.so")
	case l.ranks > 0 && g.World() != l.ranks:
		err := fmt.Errorf("%s sees %d", g.Name(), g.World())
		return fail(errors.Join(err, g.Close()), hintMPI)
	}
	return g, nil
}

// otherMPIError is a library of MPI that is not Open MPI.
type otherMPIError struct{ path, name string }

func (e *otherMPIError) Error() string {
	return fmt.Sprintf("collective: %s is %s, not Open MPI", e.path, e.name)
}

// shortVersion takes the name and the release from what a library says of itself:
// "Open MPI 4.1.4" from "Open MPI v4.1.4, package: …", "MPICH 4.0.2" from "MPICH
// Version:	4.0.2" and many lines more.
func shortVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	line, _, _ = strings.Cut(line, ",")
	line = strings.Trim(line, " \x00")
	if rest, ok := strings.CutPrefix(line, "Open MPI v"); ok {
		return "Open MPI " + rest
	}
	return strings.Join(strings.Fields(strings.Replace(line, "Version:", "", 1)), " ")
}
