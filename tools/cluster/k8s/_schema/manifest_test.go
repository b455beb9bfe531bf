// Package schema decodes the manifests strictly into the types of Kubernetes, of the MPI
// operator and of Kubeflow Trainer. It is a module of its own, because these are large and
// nothing else needs them.
package schema

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	mpi "github.com/kubeflow/mpi-operator/pkg/apis/kubeflow/v2beta1"
	trainer "github.com/kubeflow/trainer/v2/pkg/apis/trainer/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// read returns the documents of a manifest, and fails where a misspelt name in it would not be
// found. decode decodes one of them into its type.
func read(t *testing.T, file string, decode func(i int, document []byte) error, names ...string) {
	t.Helper()
	data, err := os.ReadFile("../" + file)
	if err != nil {
		t.Fatal(err)
	}
	all := func(data []byte) error {
		for i, document := range bytes.Split(data, []byte("\n---\n")) {
			if err := decode(i, document); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range names {
		if !bytes.Contains(data, []byte(name+":")) {
			t.Errorf("%s: there is no %s", file, name)
		}
		if err := all(bytes.ReplaceAll(data, []byte(name+":"), []byte(name+"s:"))); err == nil || !strings.Contains(err.Error(), name+"s") {
			t.Errorf("%s: a misspelt %s is not found: %v", file, name, err)
		}
	}
	if err := all(data); err != nil { // last, so that it is what the caller sees
		t.Fatal(err)
	}
}

func TestIngest(t *testing.T) {
	var jobs [2]batchv1.Job
	read(t, "ingest.yaml", func(i int, document []byte) error {
		jobs[i] = batchv1.Job{}
		return yaml.UnmarshalStrict(document, &jobs[i])
	}, "backoffLimitPerIndex", "completionMode", "onExitCodes", "claimName", "mountPath")
	if *jobs[0].Spec.CompletionMode != batchv1.IndexedCompletion || !*jobs[1].Spec.Suspend {
		t.Errorf("the jobs are %+v", jobs)
	}
	if q := jobs[0].Spec.Template.Spec.Containers[0].Resources.Limits.Memory(); q.Value() != 2<<30 {
		t.Errorf("the array's memory is %v", q)
	}
}

// TestMPIJob checks what hangs together in the job of the MPI operator.
func TestMPIJob(t *testing.T) {
	var job mpi.MPIJob
	read(t, "train.yaml", func(_ int, document []byte) error {
		job = mpi.MPIJob{}
		return yaml.UnmarshalStrict(document, &job)
	}, "slotsPerWorker", "launcherCreationPolicy", "cleanPodPolicy", "restartPolicy", "readinessProbe", "claimName")
	if job.APIVersion != mpi.SchemeGroupVersion.String() || job.Kind != mpi.Kind || len(job.Spec.MPIReplicaSpecs) != 2 {
		t.Errorf("it is %s %s of %d", job.APIVersion, job.Kind, len(job.Spec.MPIReplicaSpecs))
	}
	launcher, worker := job.Spec.MPIReplicaSpecs[mpi.MPIReplicaTypeLauncher], job.Spec.MPIReplicaSpecs[mpi.MPIReplicaTypeWorker]
	ranks := ""
	for _, e := range launcher.Template.Spec.Containers[0].Env {
		if e.Name == "RANKS" {
			ranks = e.Value
		}
	}
	if n := *worker.Replicas * *job.Spec.SlotsPerWorker; ranks != strconv.Itoa(int(n)) {
		t.Errorf("%s ranks in %d workers", ranks, n)
	}
	for _, s := range []*mpi.ReplicaSpec{launcher, worker} {
		pod := s.Template.Spec
		if pod.RestartPolicy != "" || s.RestartPolicy != mpi.RestartPolicyOnFailure || pod.Containers[0].Image != worker.Template.Spec.Containers[0].Image {
			t.Errorf("%+v", s)
		}
		volumes := map[string]bool{}
		for _, v := range pod.Volumes {
			volumes[v.Name] = true
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s is mounted and not there", m.Name)
			}
		}
	}
}

// TestTrainJob checks the job of Kubeflow Trainer and its runtime.
func TestTrainJob(t *testing.T) {
	var runtime trainer.TrainingRuntime
	var job trainer.TrainJob
	read(t, "trainjob.yaml", func(i int, document []byte) error {
		if i == 0 {
			runtime = trainer.TrainingRuntime{}
			return yaml.UnmarshalStrict(document, &runtime)
		}
		job = trainer.TrainJob{}
		return yaml.UnmarshalStrict(document, &job)
	}, "mlPolicy", "runLauncherAsNode", "targetReplicatedJobs", "maxRestarts", "claimName", "runtimeRef", "resourcesPerNode")
	version := trainer.GroupVersion.String()
	if runtime.APIVersion != version || job.APIVersion != version || runtime.Kind != "TrainingRuntime" || job.Kind != trainer.TrainJobKind {
		t.Errorf("%s %s and %s %s", runtime.APIVersion, runtime.Kind, job.APIVersion, job.Kind)
	}
	if ref := job.Spec.RuntimeRef; ref.Name != runtime.Name || *ref.Kind != runtime.Kind || *ref.APIGroup != trainer.GroupVersion.Group {
		t.Errorf("the job's runtime is %+v, here is %s", ref, runtime.Name)
	}
	ranks := ""
	for _, e := range job.Spec.Trainer.Env {
		if e.Name == "RANKS" {
			ranks = e.Value
		}
	}
	policy := runtime.Spec.MLPolicy
	if n := *job.Spec.Trainer.NumNodes * *policy.MPI.NumProcPerNode; ranks != strconv.Itoa(int(n)) || *policy.NumNodes != *job.Spec.Trainer.NumNodes {
		t.Errorf("%s ranks on %d nodes", ranks, n)
	}
	for i, name := range []string{"launcher", "node"} {
		r := runtime.Spec.Template.Spec.ReplicatedJobs[i]
		// By these names the controller finds what it has to change.
		if c := r.Template.Spec.Template.Spec.Containers[0]; r.Name != name || c.Name != "node" || len(c.VolumeMounts) != 2 {
			t.Errorf("%+v", r)
		}
	}
}
