package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"alexnet/ingest/internal/realdata"
	"alexnet/ingest/source"
)

const (
	solutionName = "LOC_val_solution.csv"
	mappingName  = "LOC_synset_mapping.txt"
	header       = "ImageId,PredictionString\n"
)

// tenthAndEleventh labels two images as elevenLines does, in another order.
const tenthAndEleventh = header +
	"ILSVRC2012_val_00000011,n01917289 1 2 3 4 n01917289 5 6 7 8\n" +
	"ILSVRC2012_val_00000010,n02328150 85 1 499 272\n"

// mapping lists the contest's classes as Kaggle does.
func mapping() string {
	var b strings.Builder
	for _, s := range source.ILSVRC2012() {
		fmt.Fprintf(&b, "%s %s\n", s.WNID, s.Words)
	}
	return b.String()
}

// TestKaggle opens one set as Kaggle lays it out and as ILSVRC's folders, and
// Kaggle's from each of the folders that may be given.
func TestKaggle(t *testing.T) {
	images := func(prefix string) []string {
		return []string{
			prefix + "train/n02119789/n02119789_1.JPEG", "fox", prefix + "train/n01440764/n01440764_9.JPEG", "tench",
			prefix + "val/ILSVRC2012_val_00000010.JPEG", "rabbit", prefix + "val/ILSVRC2012_val_00000011.JPEG", "coral",
			prefix + "test/ILSVRC2012_test_00000007.JPEG", "unknown",
		}
	}
	official := open(t, put(t, t.TempDir(), append(images(""), truthName, elevenLines)...), source.Options{})
	const data = "ILSVRC/Data/CLS-LOC"
	for name, c := range map[string]struct {
		images string   // where they lie
		lists  []string // the files of labels
		give   []string // the folders that may be given
	}{
		"whole":         {data, []string{solutionName, tenthAndEleventh, mappingName, mapping()}, []string{"", "ILSVRC", "ILSVRC/Data", data}},
		"no mapping":    {data, []string{solutionName, strings.ReplaceAll(tenthAndEleventh, "\n", "\r\n")}, []string{"", "ILSVRC"}},
		"lists within":  {data, []string{"ILSVRC/" + solutionName, tenthAndEleventh, data + "/" + mappingName, mapping()}, []string{"", "ILSVRC", data}},
		"moved":         {"", []string{solutionName, "\ufeff" + tenthAndEleventh + "\n", mappingName, mapping()}, []string{""}},
		"with a devkit": {data, []string{truthName, elevenLines, mappingName, mapping()}, []string{"", "ILSVRC", data}},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := ""
			if c.images != "" {
				prefix = c.images + "/"
			}
			files := append(images(prefix), c.lists...)
			dir := put(t, t.TempDir(), append(files, "ILSVRC/ImageSets/CLS-LOC/val.txt", "x", "LOC_train_solution.csv", "x")...)
			for _, give := range c.give {
				for _, layout := range []string{"", source.LayoutKaggle} {
					s := open(t, filepath.Join(dir, give), source.Options{Layout: layout})
					sameSources(t, official, s)
					if s.Shape().C != 0 || s.Official() != nil {
						t.Errorf("shape %v, official %v: want none", s.Shape(), s.Official())
					}
				}
			}
			t.Chdir(filepath.Join(dir, c.images)) // "." has no name of its own
			sameSources(t, official, open(t, ".", source.Options{}))
		})
	}
}

// TestKaggleSubset has a mapping of other classes than the 1,000: it is the list.
func TestKaggleSubset(t *testing.T) {
	dir := put(t, t.TempDir(), "Data/CLS-LOC/train/n02119789/a.JPEG", "x", "Data/CLS-LOC/val/ILSVRC2012_val_00000010.JPEG", "x",
		mappingName, "n02328150 rabbit\nn99000000 drawn disc\nn02119789 fox\n", solutionName, tenthAndEleventh)
	s := open(t, dir, source.Options{})
	if got, want := list(s), []string{"train n02119789/a.JPEG 0 1", "val ILSVRC2012_val_00000010.JPEG 1 164"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if c := s.Classes(); len(c) != 3 || c[1].Words != "rabbit" {
		t.Errorf("%v", c)
	}
	if got := s.Describe(); !strings.HasSuffix(got, "3 classes ("+filepath.Join(dir, mappingName)+")") {
		t.Error(got)
	}
}

// TestKaggleMini arranges the real photos through links as Kaggle does, with its
// lists made from the devkit's.
func TestKaggleMini(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need rights on Windows")
	}
	mini, meta := realdata.Path(t, "ilsvrc-mini"), realdata.Path(t, "ilsvrc-meta")
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(meta, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	csv := []string{}
	for i, wnid := range strings.Fields(read("imagenet_2012_validation_synset_labels.txt")) {
		csv = append(csv, fmt.Sprintf("ILSVRC2012_val_%08d,%s 1 2 3 4 \n", i+1, wnid))
	}
	if len(csv) != 50000 {
		t.Fatalf("%d lines", len(csv))
	}
	slices.SortFunc(csv, func(a, b string) int { return strings.Compare(a[20:], b[20:]) }) // in some other order
	dir := put(t, t.TempDir(), "ILSVRC/Data/CLS-LOC/", "", solutionName, header+strings.Join(csv, ""), mappingName, read("synset_words.txt"))
	for _, split := range []string{"train", "val"} {
		if err := os.Symlink(filepath.Join(mini, split), filepath.Join(dir, "ILSVRC", "Data", "CLS-LOC", split)); err != nil {
			t.Fatal(err)
		}
	}
	sameSources(t, open(t, mini, source.Options{}), open(t, dir, source.Options{}))
}
