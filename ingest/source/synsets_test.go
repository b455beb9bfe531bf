package source

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"alexnet/ingest/internal/realdata"
)

// lines reads a text file.
func lines(t testing.TB, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []string
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		list = append(list, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestILSVRC2012(t *testing.T) {
	table := ILSVRC2012()
	if len(table) != 1000 {
		t.Fatalf("%d synsets, want 1000", len(table))
	}
	if !slices.IsSortedFunc(table, func(a, b Synset) int { return strings.Compare(a.WNID, b.WNID) }) {
		t.Error("not sorted by WNID")
	}
	ids := map[int32]bool{}
	for i, s := range table {
		if !isWNID(s.WNID) || s.ID < 1 || s.ID > 1000 || s.Words == "" || ids[s.ID] || i > 0 && s.WNID == table[i-1].WNID {
			t.Errorf("line %d: %+v", i+1, s)
		}
		ids[s.ID] = true
	}
	table[0].WNID = "changed"
	if again := ILSVRC2012(); again[0].WNID != "n01440764" {
		t.Error("a caller's change reached the table")
	}
}

// TestOrdersDiffer holds facts that any mix-up of the devkit's ids with labels
// breaks. A label is the index in sorted-WNID order.
func TestOrdersDiffer(t *testing.T) {
	for _, fact := range []struct {
		id    int32
		wnid  string
		label int32
		words string
	}{
		{1, "n02119789", 278, "kit fox"},
		{2, "n02100735", 212, "English setter"},
		{164, "n02328150", 332, "Angora"},
		{449, "n01440764", 0, "tench"},
		{490, "n01751748", 65, "sea snake"},
		{1000, "n03255030", 543, "dumbbell"},
	} {
		s, ok := officialByID(fact.id)
		if !ok || s.WNID != fact.wnid || !strings.HasPrefix(s.Words, fact.words) || s.ID != fact.id {
			t.Errorf("devkit id %d: %+v, want %s, %s", fact.id, s, fact.wnid, fact.words)
		}
		if got := officialOrder()[fact.id]; got != fact.label {
			t.Errorf("devkit id %d: label %d, want %d", fact.id, got, fact.label)
		}
		if got, ok := officialByWNID(fact.wnid); !ok || got != s {
			t.Errorf("%s: %+v, want %+v", fact.wnid, got, s)
		}
	}
	same := 0
	for i, s := range ILSVRC2012() {
		if s.ID == int32(i+1) || s.ID == int32(i) {
			same++
		}
	}
	if same > 10 {
		t.Errorf("%d of 1000 devkit ids agree with the sorted order: the table was renumbered", same)
	}
	for _, id := range []int32{-1, 0, 1001, 1 << 30} {
		if s, ok := officialByID(id); ok {
			t.Errorf("devkit id %d: %+v, want none", id, s)
		}
	}
	if s, ok := officialByWNID("n99000000"); ok {
		t.Errorf("n99000000: %+v, want none", s)
	}
}

func TestSynsetsAgainstDevkit(t *testing.T) {
	rows := lines(t, realdata.Path(t, "ilsvrc-meta/meta.tsv"))[1:]
	checked := 0
	for _, row := range rows {
		fields := strings.Split(row, "\t")
		id, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := officialByID(int32(id)); ok {
			checked++
			if s.WNID != fields[1] || s.Words != fields[2] {
				t.Errorf("devkit id %d: %+v, want %s, %s", id, s, fields[1], fields[2])
			}
		}
	}
	if checked != 1000 {
		t.Errorf("%d synsets compared, want 1000", checked)
	}
}

func TestSynsetsAgainstCaffe(t *testing.T) {
	want := lines(t, realdata.Path(t, "ilsvrc-meta/synset_words.txt"))
	table := ILSVRC2012()
	if len(want) != len(table) {
		t.Fatalf("%d lines, want %d", len(want), len(table))
	}
	for i, s := range table {
		if got := s.WNID + " " + s.Words; got != want[i] {
			t.Errorf("label %d: %q, want %q", i, got, want[i])
		}
	}
}

// TestAllValidationLabels labels all 50,000 validation images by the real ground
// truth and compares with Caffe's list.
func TestAllValidationLabels(t *testing.T) {
	truth := realdata.Path(t, "ilsvrc-meta/ILSVRC2012_validation_ground_truth.txt")
	want := lines(t, realdata.Path(t, "ilsvrc-meta/caffe_val.txt"))
	kit := &devkit{}
	if err := kit.readLoose(disk{}, truth, maxTruthBytes, kit.takeTruth); err != nil {
		t.Fatal(err)
	}
	s := &opened{tree: disk{}, plan: &plan{}, kit: kit}
	l := newListing(Val)
	for _, line := range want {
		name, _, _ := strings.Cut(line, " ")
		l.add("", name, 1, at(0, 0))
	}
	label, err := s.classify([]*listing{l}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := label.split(part{split: Val}, l); err != nil {
		t.Fatal(err)
	}
	wnids := lines(t, realdata.Path(t, "ilsvrc-meta/imagenet_2012_validation_synset_labels.txt"))
	if len(want) != 50000 || len(wnids) != 50000 {
		t.Fatalf("%d and %d labels, want 50000", len(want), len(wnids))
	}
	wrong := 0
	for i, it := range l.items {
		if got := fmt.Sprintf("%s %d", it.Key, it.Label); got != want[i] || s.classes[it.Label].WNID != wnids[i] || s.classes[it.Label].ILSVRCID != it.ILSVRCID {
			if wrong++; wrong < 5 {
				t.Errorf("%s (devkit id %d), want %s, %s", got, it.ILSVRCID, want[i], wnids[i])
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of 50000 labels are wrong", wrong)
	}
}
