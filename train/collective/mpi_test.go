//go:build linux && (amd64 || arm64) && !static

package collective

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// asRank names the environment variable that makes a rank of the test binary, and says
// what it does.
const asRank = "ALEXNET_COLLECTIVE_TEST_RANK"

func TestMain(m *testing.M) {
	if what := os.Getenv(asRank); what != "" {
		if err := beRank(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beRank is what a rank does.
func beRank(what string) error {
	g, err := Join(os.Getenv)
	if err != nil {
		return err
	}
	if g.World() != 2 {
		return fmt.Errorf("%d ranks", g.World())
	}
	switch what {
	case "exercise":
		if err := trap(); err != nil {
			return err
		}
		return exercise(g)
	case "abort":
		// One gives up in the middle of a gradient, for the rest of which the other waits.
		r := NewReducer(g)
		r.Start(make([]float32, 1000))
		if g.Rank() == 1 {
			fmt.Fprintln(os.Stderr, "rank 1 gives up:", r.Wait())
			g.Abort(3)
		}
		r.Start(make([]float32, 1000))
		return r.Wait()
	case "kill":
		if g.Rank() == 1 {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill()
			select {}
		}
	case "bench":
		return bench(g)
	}
	return g.Barrier()
}

// trap: the library has left Go its own treatment of faults.
func trap() (err error) {
	defer func() {
		if recover() == nil {
			err = errors.New("a nil pointer was no panic")
		}
	}()
	var none *mpi
	none.rank++
	return nil
}

// bench tells how long the gradient of AlexNet takes, and the little that ranks tell each
// other three times a step.
func bench(g Group) error {
	gradient := [][]float32{make([]float32, 60_965_224)}
	for turn := range 4 {
		begin := time.Now()
		for _, b := range Buckets(gradient) {
			if err := g.AllReduce(b); err != nil {
				return err
			}
		}
		if g.Rank() == 0 {
			fmt.Printf("turn %d: %v\n", turn, time.Since(begin))
		}
	}
	const times = 1000
	begin := time.Now()
	for range times {
		if _, err := g.AllGather(make([]byte, 40)); err != nil {
			return err
		}
	}
	if g.Rank() == 0 {
		fmt.Printf("40 bytes of each: %v\n", time.Since(begin)/times)
	}
	return g.Close()
}

// mpirun starts two ranks of this test and returns what they say.
func mpirun(t testing.TB, what string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("mpirun")
	if err != nil {
		t.Skip("no mpirun: ", err)
	}
	args := []string{"-n", "2", "--oversubscribe", "--bind-to", "none"}
	if os.Geteuid() == 0 {
		args = append(args, "--allow-run-as-root")
	}
	cmd := exec.CommandContext(t.Context(), path, append(args, os.Args[0])...)
	cmd.Env = append(os.Environ(), asRank+"="+what)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestMPI(t *testing.T) {
	if out, err := mpirun(t, "exercise"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A rank that gives up, or is killed, ends all.
func TestMPIEnds(t *testing.T) {
	begin := time.Now()
	out, err := mpirun(t, "abort")
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 3 || !strings.Contains(out, "rank 1 gives up: <nil>") {
		t.Errorf("abort: %v\n%s", err, out)
	}
	t.Logf("abort: %v", time.Since(begin))
	begin = time.Now()
	if out, err = mpirun(t, "kill"); err == nil {
		t.Errorf("killed, and yet done\n%s", out)
	}
	t.Logf("kill: %v", time.Since(begin))
}

func BenchmarkAllReduce(b *testing.B) {
	out, err := mpirun(b, "bench")
	if err != nil {
		b.Error(err)
	}
	b.Log("\n" + out)
}

// A library that is not Open MPI is refused by its name, or as none at all.
func TestOtherLibraries(t *testing.T) {
	_, err := Join(environment("OMPI_COMM_WORLD_SIZE=2 ALEXNET_MPI=libc.so.6"))
	if err == nil || !strings.Contains(err.Error(), "libc.so.6 is no library of MPI") {
		t.Errorf("libc: %v", err)
	}
	if _, err := Join(environment("OMPI_COMM_WORLD_SIZE=2 ALEXNET_MPI=libmpich.so.12")); err == nil {
		t.Error("MPICH was taken")
	} else {
		t.Log(err)
	}
	for text, want := range map[string]string{"Open MPI v4.1.4, package: Debian OpenMPI\x00": "Open MPI 4.1.4", "MPICH Version:\t4.0.2\nMPICH Release date:\t2022\n": "MPICH 4.0.2"} {
		if got := shortVersion(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
