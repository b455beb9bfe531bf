// Package schema decodes the manifests strictly into Kubernetes' own types. It is
// a module of its own, because these are large and nothing else needs them.
package schema

import (
	"bytes"
	"os"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// decode reads the Jobs of a manifest.
func decode(data []byte) (jobs []batchv1.Job, err error) {
	for _, document := range bytes.Split(data, []byte("\n---\n")) {
		var j batchv1.Job
		if err := yaml.UnmarshalStrict(document, &j); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func TestManifests(t *testing.T) {
	data, err := os.ReadFile("../ingest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs) != 2 || *jobs[0].Spec.CompletionMode != batchv1.IndexedCompletion || !*jobs[1].Spec.Suspend {
		t.Errorf("the jobs are %+v", jobs)
	}
	if q := jobs[0].Spec.Template.Spec.Containers[0].Resources.Limits.Memory(); q.Value() != 2<<30 {
		t.Errorf("the array's memory is %v", q)
	}
	for _, name := range []string{"backoffLimitPerIndex", "completionMode", "onExitCodes", "claimName", "mountPath"} {
		if !bytes.Contains(data, []byte(name)) {
			t.Errorf("there is no %s", name)
		}
		if _, err := decode(bytes.ReplaceAll(data, []byte(name), []byte(name+"s"))); err == nil || !strings.Contains(err.Error(), name+"s") {
			t.Errorf("a misspelt %s is not found: %v", name, err)
		}
	}
}
