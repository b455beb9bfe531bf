package cluster

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// stage is a folder with stand-ins for the programs that the recipes of train call.
type stage struct{ dir, run string }

// ranks stands in for srun and mpirun: it notes its arguments, and does what OUTCOME says. A
// run that is "told" tells who has started it, as the end of its time does, and ends when
// that is passed on.
const ranks = `#!/bin/bash
echo "$*" >>"$LEDGER"
mkdir -p "$RUN"
[[ -e $RUN/summary.json ]] && echo "an old summary" >>"$LEDGER"
touch "$RUN/config.json"
end() { echo "{\"end\": \"$1\"}" >"$RUN/summary.json"; exit "$2"; }
case $OUTCOME in
done) end epochs 0 ;;
broken) exit 7 ;;
stopped) end interrupted 1 ;;
told)
  trap 'end interrupted 1' USR1
  kill -"$TOLD" "$PPID"
  for ((i = 0; i < 2000; i++)); do sleep 0.005; done
  ;;
esac
`

func newStage(t *testing.T) *stage {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the recipes are for Unix")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash")
	}
	dir := t.TempDir()
	s := &stage{dir: dir, run: filepath.Join(dir, "run")}
	for name, text := range map[string]string{"srun": ranks, "mpirun": ranks, "scontrol": "#!/bin/bash\necho \"scontrol $*\" >>\"$LEDGER\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// play runs a recipe and returns its exit status and what the stand-ins noted.
func (s *stage) play(t *testing.T, outcome string, command ...string) (status int, noted []string) {
	t.Helper()
	ledger := filepath.Join(s.dir, "ledger")
	if err := os.RemoveAll(ledger); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+s.dir+string(os.PathListSeparator)+os.Getenv("PATH"), "LEDGER="+ledger, "OUTCOME="+outcome,
		"RECORDS=/records/out", "RUN="+s.run, "RANKS=4", "SLURM_CPUS_PER_TASK=3", "SLURM_JOB_ID=42", "TOLD="+map[bool]string{true: "USR1", false: "TERM"}[command[0] == "bash"])
	var exit *exec.ExitError
	text, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, text)
	}
	data, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return cmd.ProcessState.ExitCode(), strings.Split(strings.TrimSpace(string(data)), "\n")
}

// TestTrainSbatch plays the job of Slurm: it begins, goes on, and puts itself back when its
// time is up, but not when the run fails or is stopped by hand.
func TestTrainSbatch(t *testing.T) {
	s := newStage(t)
	script := []string{"bash", filepath.Join("slurm", "train.sbatch"), "--init", "first weights", "--batch=64", "--init-except=fc8", "--net", "alexnet"}
	begin := "--mpi=pmix --kill-on-bad-exit=1 --cpus-per-task=3 train --records /records/out --run " + s.run
	resume := begin + " --resume --batch=64 --net alexnet"
	begin += " --init first weights --batch=64 --init-except=fc8 --net alexnet"
	for _, step := range []struct {
		outcome string
		status  int
		noted   []string
	}{
		{"told", 1, []string{begin, "scontrol requeue 42"}},
		{"stopped", 1, []string{resume}},
		{"broken", 7, []string{resume}},
		{"done", 0, []string{resume}},
	} {
		if status, noted := s.play(t, step.outcome, script...); status != step.status || !slices.Equal(noted, step.noted) {
			t.Errorf("%s: status %d, %q; want %d, %q", step.outcome, status, noted, step.status, step.noted)
		}
	}
}

// launchers returns the command lines of the pods that start the ranks.
func launchers(t *testing.T) (commands [][]string) {
	t.Helper()
	type shell struct {
		Command, Args []string
	}
	for _, file := range []string{"train.yaml", "trainjob.yaml"} {
		data, err := os.ReadFile(filepath.Join("k8s", file))
		if err != nil {
			t.Fatal(err)
		}
		d := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var document struct {
				Spec struct {
					Trainer shell
					MPI     struct {
						Launcher struct {
							Template struct{ Spec struct{ Containers []shell } }
						} `yaml:"Launcher"`
					} `yaml:"mpiReplicaSpecs"`
				}
			}
			err := d.Decode(&document)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range append(document.Spec.MPI.Launcher.Template.Spec.Containers, document.Spec.Trainer) {
				if s.Command != nil {
					commands = append(commands, append(s.Command, s.Args...))
				}
			}
		}
	}
	return commands
}

// TestLaunchers plays the launchers of Kubernetes: a pod that must go lets the ranks save.
func TestLaunchers(t *testing.T) {
	commands := launchers(t)
	if len(commands) != 2 || !slices.Equal(commands[0], commands[1]) {
		t.Fatalf("the launchers are %q", commands)
	}
	s := newStage(t)
	begin, end := "-n 4 /usr/local/bin/train ", "--records /records/out --run "+s.run+" --batch=512"
	for _, step := range []struct {
		outcome string
		status  int
		noted   string
	}{
		{"told", 1, begin + end},
		{"broken", 7, begin + "--resume " + end},
		{"done", 0, begin + "--resume " + end},
	} {
		status, noted := s.play(t, step.outcome, commands[0]...)
		if status != step.status || noted[0] != step.noted {
			t.Errorf("%s: status %d, %q; want %d, %q", step.outcome, status, noted, step.status, step.noted)
		}
	}
}

// checkSbatch checks the #SBATCH lines of a recipe: all before the first command, as Slurm
// stops reading there, and none misspelt.
func checkSbatch(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("slurm", name))
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`^#SBATCH --(job-name=[a-z-]+|output=[A-Za-z%_.-]+|open-mode=(append|truncate)|nodes=\d+|ntasks=\d+|ntasks-per-node=\d+|cpus-per-task=\d+|mem=\d+[MG]|time=\d\d:\d\d:\d\d|signal=B:USR1@\d+|requeue)$`)
	commands, options := false, 0
	for i, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "#SBATCH") {
			options++
			if commands || !known.MatchString(line) {
				t.Errorf("%s: line %d: %s", name, i+1, line)
			}
		} else if line != "" && line[0] != '#' {
			commands = true
		}
	}
	if options < 5 {
		t.Errorf("%s: %d options", name, options)
	}
}
