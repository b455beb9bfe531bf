// Package cluster has recipes that run ingest and train on schedulers. Its tests read them
// strictly, and run their command lines on this machine.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"alexnet/records"
	"alexnet/tools/drawn"
)

// What the manifests may say, by the names of Kubernetes' API (batch/v1 Job). A
// name that is not here is refused, and so a misspelt one is.
type (
	job struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			CompletionMode       string `yaml:"completionMode"`
			Completions          int
			Parallelism          int
			Suspend              bool
			BackoffLimit         int    `yaml:"backoffLimit"`
			BackoffLimitPerIndex int    `yaml:"backoffLimitPerIndex"`
			PodReplacementPolicy string `yaml:"podReplacementPolicy"`
			PodFailurePolicy     struct {
				Rules []struct {
					Action          string
					OnPodConditions []struct{ Type, Status string } `yaml:"onPodConditions"`
					OnExitCodes     struct {
						ContainerName string `yaml:"containerName"`
						Operator      string
						Values        []int
					} `yaml:"onExitCodes"`
				}
			} `yaml:"podFailurePolicy"`
			Template struct{ Spec pod }
		}
	}
	pod struct {
		RestartPolicy   string `yaml:"restartPolicy"`
		GracePeriod     int    `yaml:"terminationGracePeriodSeconds"`
		SecurityContext struct {
			RunAsNonRoot bool   `yaml:"runAsNonRoot"`
			RunAsUser    int    `yaml:"runAsUser"`
			RunAsGroup   int    `yaml:"runAsGroup"`
			FSGroup      int    `yaml:"fsGroup"`
			FSGroupWhen  string `yaml:"fsGroupChangePolicy"`
		} `yaml:"securityContext"`
		Containers []container
		Volumes    []struct {
			Name  string
			Claim struct {
				Name     string `yaml:"claimName"`
				ReadOnly bool   `yaml:"readOnly"`
			} `yaml:"persistentVolumeClaim"`
		}
	}
	container struct {
		Name, Image   string
		Command, Args []string
		Env           []struct{ Name, Value string }
		Resources     struct{ Requests, Limits map[string]string }
		VolumeMounts  []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
)

// readJobs reads the manifest's documents.
func readJobs(t *testing.T) []job {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("k8s", "ingest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var jobs []job
	for {
		var j job
		err := d.Decode(&j)
		if errors.Is(err, io.EOF) {
			return jobs
		}
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
}

// TestManifest checks what hangs together in the manifest.
func TestManifest(t *testing.T) {
	jobs := readJobs(t)
	if len(jobs) != 2 || jobs[0].Metadata.Name != "ingest" || jobs[1].Metadata.Name != "ingest-merge" {
		t.Fatalf("the jobs are %+v", jobs)
	}
	for _, j := range jobs {
		pod := j.Spec.Template.Spec
		if j.APIVersion != "batch/v1" || j.Kind != "Job" || pod.RestartPolicy != "Never" || len(pod.Containers) != 1 {
			t.Errorf("%s: %+v", j.Metadata.Name, j)
		}
		claims := map[string]bool{}
		for _, v := range pod.Volumes {
			claims[v.Name] = v.Claim.Name != ""
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if !claims[m.Name] {
				t.Errorf("%s mounts %s, which is no volume with a claim", j.Metadata.Name, m.Name)
			}
		}
	}
	array, c := jobs[0].Spec, jobs[0].Spec.Template.Spec.Containers[0]
	if array.CompletionMode != "Indexed" || array.Completions < 1 || array.BackoffLimitPerIndex < 1 || array.Suspend {
		t.Errorf("the array: %+v", array)
	}
	if len(c.Env) != 1 || c.Env[0].Name != "JOB_COMPLETIONS" || c.Env[0].Value != strconv.Itoa(array.Completions) {
		t.Errorf("env %v for %d completions", c.Env, array.Completions)
	}
	for _, r := range array.PodFailurePolicy.Rules {
		if n := r.OnExitCodes.ContainerName; n != "" && n != c.Name {
			t.Errorf("a rule for the container %s, which is not there", n)
		}
	}
	if !jobs[1].Spec.Suspend || jobs[1].Spec.Template.Spec.Containers[0].Image != c.Image {
		t.Errorf("the merge: %+v", jobs[1].Spec)
	}
}

// site is a machine with ingest, pictures, and what one process made of them.
type site struct {
	dir, bin, src string
	digest        string
}

// newSite builds ingest and draws pictures.
func newSite(t *testing.T) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs ingest")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the recipes are for Unix")
	}
	dir := t.TempDir()
	s := &site{dir: dir, bin: filepath.Join(dir, "bin", "ingest"), src: filepath.Join(dir, "source")}
	s.run(t, exec.Command("go", "build", "-o", s.bin, "alexnet/ingest"))
	if err := drawn.WriteTars(context.Background(), s.src, drawn.Options{Classes: 2, TrainPerClass: 6, ValPerClass: 2, Seed: 4}); err != nil {
		t.Fatal(err)
	}
	one := filepath.Join(dir, "one")
	s.run(t, exec.Command(s.bin, append([]string{"--src", s.src, "--out", one}, s.options()...)...))
	s.digest = s.digestOf(t, one)
	return s
}

// options make the job a small one, of several shards.
func (s *site) options() []string { return []string{"--size", "16", "--shard-size", "3072B"} }

// run runs a command that must succeed, and returns its output.
func (s *site) run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
	}
	return string(text)
}

// digestOf is the digest of the records in a folder.
func (s *site) digestOf(t *testing.T, out string) string {
	t.Helper()
	m, err := records.ReadManifest(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := records.Verify(context.Background(), out, nil); err != nil {
		t.Fatal(err)
	}
	return m.Digest
}

// TestIndexedJob runs the containers of the manifest as processes, with the
// folders of this machine and the variables of an Indexed Job.
func TestIndexedJob(t *testing.T) {
	s := newSite(t)
	mounts := strings.NewReplacer("/source", s.src, "/records", filepath.Join(s.dir, "records"))
	if err := os.Mkdir(filepath.Join(s.dir, "records"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, j := range readJobs(t) {
		c := j.Spec.Template.Spec.Containers[0]
		var args []string
		for _, a := range c.Args {
			args = append(args, mounts.Replace(a))
		}
		if c.Command[0] != "ingest" {
			t.Fatalf("the command is %v", c.Command)
		}
		for i := range max(j.Spec.Completions, 1) {
			cmd := exec.Command(s.bin, append(args, s.options()...)...)
			cmd.Env = os.Environ()
			for _, e := range c.Env {
				cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
			}
			if j.Spec.CompletionMode == "Indexed" {
				cmd.Env = append(cmd.Env, fmt.Sprintf("JOB_COMPLETION_INDEX=%d", i))
			}
			s.run(t, cmd)
		}
	}
	if got := s.digestOf(t, filepath.Join(s.dir, "records", "out")); got != s.digest {
		t.Errorf("the digest is %s, of one process %s", got, s.digest)
	}
}

// standIn is a sbatch that runs what it is given at once, an array in reverse,
// as long as no dependency is of a job that it does not know.
const standIn = `#!/bin/bash
set -euo pipefail
array=
while [[ $1 == --* ]]; do
  case $1 in
  --array=*-*) range=${1#--array=}; array=$(seq "${range#*-}" -1 "${range%-*}") ;;
  --array=*) array=${1#--array=}; array=${array//,/ } ;;
  --dependency=afterok:*) [[ -e $LEDGER/${1#*:} ]] || { echo "no job ${1#*:} that ended well" >&2; exit 1; } ;;
  esac
  echo "$1" >>"$LEDGER/options"
  shift
done
script=$1
shift
for id in ${array:--}; do
  [[ $id == - ]] || export SLURM_ARRAY_TASK_ID=$id
  SLURM_CPUS_PER_TASK=1 bash "$script" "$@" >>"$LEDGER/log" 2>&1
done
job=$((100 + $(ls "$LEDGER" | wc -l)))
touch "$LEDGER/$job"
echo "$job;cluster"
`

// TestSlurm submits the array with a stand-in for sbatch.
func TestSlurm(t *testing.T) {
	script := filepath.Join("slurm", "ingest.sbatch")
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	s := newSite(t)
	ledger := filepath.Join(s.dir, "ledger")
	if err := errors.Join(os.Mkdir(ledger, 0o777), os.WriteFile(filepath.Join(s.dir, "bin", "sbatch"), []byte(standIn), 0o777)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(s.dir, "out")
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(bash, append([]string{script}, append(args, s.options()...)...)...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(s.dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
			"SRC="+s.src, "OUT="+out, "TASKS=3", "LEDGER="+ledger)
		return cmd
	}
	text := s.run(t, command("submit"))
	if !regexp.MustCompile(`^index \d+, array \d+, merge \d+\n$`).MatchString(text) {
		t.Errorf("submitting said %q", text)
	}
	options, err := os.ReadFile(filepath.Join(ledger, "options"))
	if err != nil || strings.Count(string(options), "--dependency=afterok:") != 2 || !strings.Contains(string(options), "--array=0-2\n") {
		t.Errorf("the options were %s (%v)", options, err)
	}
	if got := s.digestOf(t, out); got != s.digest {
		t.Errorf("the digest is %s, of one process %s", got, s.digest)
	}
	if text, err := command("start").CombinedOutput(); err == nil || !strings.Contains(string(text), "unknown mode start") {
		t.Errorf("an unknown mode: %v, %s", err, text)
	}
	missing := command("submit")
	missing.Env = append(missing.Env, "TASKS=0")
	if text, err := missing.CombinedOutput(); err == nil || !strings.Contains(string(text), "TASKS is 0, not a number of tasks") {
		t.Errorf("no tasks: %v, %s", err, text)
	}
}

// TestSbatchOptions checks the #SBATCH lines.
func TestSbatchOptions(t *testing.T) {
	checkSbatch(t, "ingest.sbatch")
	checkSbatch(t, "train.sbatch")
}
