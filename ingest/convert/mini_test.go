package convert

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"alexnet/ingest/internal/realdata"
	"alexnet/ingest/source"
	"alexnet/records"
)

// lines reads a table with tabs between its columns.
func lines(t *testing.T, path string) [][]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table [][]string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		table = append(table, strings.Split(line, "\t"))
	}
	return table
}

// TestRealPhotos converts a few hundred real photographs from their folder and
// from archives as ILSVRC distributes them, and checks every label.
func TestRealPhotos(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector hundreds of photographs take too long; the drawn sets do the same")
	}
	dir := realdata.Path(t, "ilsvrc-mini")
	data := filepath.Dir(dir)
	cfg := config(open(t, dir, source.Options{}), filepath.Join(t.TempDir(), "folder"))
	cfg.Size, cfg.ShardBytes = 32, 100*3*32*32*2
	s := convert(t, cfg)
	for i, want := range []SplitSummary{{Name: "train", Seen: 459, Written: 459, Shards: 5}, {Name: "val", Seen: 27, Written: 27, Shards: 1}} {
		want.Bytes = s.Splits[i].Bytes
		if s.Splits[i] != want {
			t.Errorf("split %+v, want %+v", s.Splits[i], want)
		}
	}
	if s.Classes != 1000 {
		t.Errorf("%d classes, want the 1000 of the devkit", s.Classes)
	}
	checkLabels(t, data, cfg.Out)

	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the archives cannot be made: ", err)
	}
	tars := filepath.Join(t.TempDir(), "tars")
	if out, err := exec.Command("bash", filepath.Join(data, "make-tars"), dir, tars).CombinedOutput(); err != nil {
		t.Fatalf("make-tars: %v\n%s", err, out)
	}
	again := cfg
	again.Source, again.Out = open(t, tars, source.Options{}), filepath.Join(t.TempDir(), "tars")
	convert(t, again)
	sameTree(t, "from tars", again.Out, cfg.Out)
}

// checkLabels compares label and devkit id of each row with the devkit's tables:
// the class of a training picture stands in its name, that of a validation
// picture in the list of labels, and its id in the ground truth.
func checkLabels(t *testing.T, data, out string) {
	t.Helper()
	id, wnid := map[string]string{}, map[string]string{}
	for _, l := range lines(t, filepath.Join(data, "ilsvrc-meta", "meta.tsv"))[1:] {
		id[l[1]] = l[0]
	}
	for _, l := range lines(t, filepath.Join(data, "ilsvrc-mini", "val_labels.tsv")) {
		wnid[l[0]] = l[1]
	}
	truth := lines(t, filepath.Join(data, "ilsvrc-mini", "ILSVRC2012_validation_ground_truth.txt"))
	m, err := records.ReadManifest(out)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(m.Classes); i++ {
		if m.Classes[i-1].WNID >= m.Classes[i].WNID {
			t.Fatalf("the classes are not in the order of their WNIDs: %s, %s", m.Classes[i-1].WNID, m.Classes[i].WNID)
		}
	}
	check := func(r row, want string) {
		class := m.Classes[r.Label]
		if class.WNID != want || fmt.Sprint(r.ILSVRCID) != id[want] || class.ILSVRCID != r.ILSVRCID {
			t.Errorf("%s: label %d is %s with id %d, row has id %d; want %s with id %s", r.Key, r.Label, class.WNID, class.ILSVRCID, r.ILSVRCID, want, id[want])
		}
	}
	for _, r := range rows(t, out, "train") {
		check(r, r.Key[:9])
	}
	for _, r := range rows(t, out, "val") {
		check(r, wnid[r.Key])
		var n int
		if _, err := fmt.Sscanf(r.Key, "ILSVRC2012_val_%d.JPEG", &n); err != nil {
			t.Fatal(err)
		}
		if strconv.Itoa(int(r.ILSVRCID)) != truth[n-1][0] {
			t.Errorf("%s: id %d, the ground truth says %s", r.Key, r.ILSVRCID, truth[n-1][0])
		}
	}
}
