package source_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"alexnet/ingest/source"
)

// TestWholeImageNet opens a small fall11_whole.tar: classes without images are
// passed over, and a devkit beside it does not limit the others to its 1,000.
func TestWholeImageNet(t *testing.T) {
	class := func(wnid string) string { return tarOf(t, wnid+"_1.JPEG", "x") }
	whole := tarOf(t, "n01440764.tar", class("n01440764"), "n00007846.tar", class("n00007846"), "n04399382.tar", "",
		"n02119789.tar", tarOf(t), "n00021265.tar", tarOf(t, "readme.txt", "x"), "n99999999.tar", class("n99999999"))
	dir := put(t, t.TempDir(), "fall11_whole.tar", whole, devkitName, gzipped(t, tarOf(t, truthName, elevenLines)),
		"words.txt", "n00007846\tperson, individual\nn01440764\ttench or so\n")
	s := open(t, dir, source.Options{})
	want := []string{"train n00007846/n00007846_1.JPEG 0 0", "train n01440764/n01440764_1.JPEG 1 449", "train n99999999/n99999999_1.JPEG 2 0"}
	if got := list(s); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	skips := "[{train tar of a class without images 3 [n04399382.tar n02119789.tar n00021265.tar]} {train no image extension 1 [readme.txt]}]"
	if got := fmt.Sprint(s.Skipped()); got != skips {
		t.Errorf("skipped %s, want %s", got, skips)
	}
	if c := s.Classes(); len(c) != 3 || c[0].Words != "person, individual" {
		t.Errorf("classes %v", c)
	}
	if s.Official() != nil {
		t.Errorf("official %v", s.Official())
	}

	// A flat validation set needs the 1,000 too.
	both := put(t, t.TempDir(), "fall11_whole.tar", whole, truthName, elevenLines, "val/ILSVRC2012_val_00000010.JPEG", "x")
	withVal := open(t, both, source.Options{})
	if got := withVal.Classes(); len(got) != 1002 || got[0].WNID != "n00007846" || got[1001].WNID != "n99999999" {
		t.Errorf("%d classes", len(got))
	}
	if it := withVal.Splits()[1].Items[0]; it.ILSVRCID != 164 || withVal.Classes()[it.Label].WNID != "n02328150" {
		t.Errorf("%+v", it)
	}

	// Under another name it is told by the number of its classes, and the
	// contest's archive goes before it.
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf("n%08d.tar", i), class("n0"))
	}
	many[1] = tarOf(t)
	if n := len(open(t, put(t, t.TempDir(), "i.tar", tarOf(t, many...), truthName, elevenLines), source.Options{}).Classes()); n != 1000 {
		t.Errorf("%d classes, want 1000: one is empty", n)
	}
	official := open(t, put(t, t.TempDir(), "fall11_whole.tar", whole, "ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", class("n01440764"))), source.Options{})
	if got := list(official); !slices.Equal(got, []string{"train n01440764/n01440764_1.JPEG 0 449"}) || official.Skipped()[0].Examples[0] != "fall11_whole.tar" {
		t.Errorf("%q, %v", got, official.Skipped())
	}
	cut := put(t, t.TempDir(), "fall11_whole.tar", tarOf(t, "n01440764.tar", class("n01440764")[:700]))
	if _, err := source.Open(ctx, cut, source.Options{}); err == nil || !strings.Contains(err.Error(), "n01440764.tar: is truncated") {
		t.Errorf("cut: %v", err)
	}
	none := put(t, t.TempDir(), "fall11_whole.tar", tarOf(t, "n01440764.tar", ""))
	want1 := filepath.Join(none, "fall11_whole.tar") + ": holds no image (.JPEG, .jpg, .png), only other files (n01440764.tar: tar of a class without images); copy or make the archive again"
	if _, err := source.Open(ctx, none, source.Options{}); err == nil || err.Error() != want1 {
		t.Errorf("none: %v", err)
	}
}

// TestOfficial counts only what is ILSVRC 2012 as published.
func TestOfficial(t *testing.T) {
	var folders, inner []string
	for _, s := range source.ILSVRC2012() {
		folders = append(folders, "train/"+s.WNID+"/a.JPEG", "x")
		inner = append(inner, s.WNID+".tar", tarOf(t, "a.JPEG", "x"))
	}
	test := []string{"test/ILSVRC2012_test_00000001.JPEG", "x"}
	val := []string{"val/ILSVRC2012_val_00000010.JPEG", "x", truthName, elevenLines}
	flat := tarOf(t, "ILSVRC2012_val_00000010.JPEG", "x")
	for name, c := range map[string]struct {
		files []string
		o     source.Options
		want  map[string]int
	}{
		"folders":        {slices.Concat(folders, val, test), source.Options{}, map[string]int{"train": 1281167, "val": 50000, "test": 100000}},
		"train only":     {folders, source.Options{}, map[string]int{"train": 1281167}},
		"another name":   {[]string{"t.tar", tarOf(t, inner...)}, source.Options{}, map[string]int{"train": 1281167}},
		"limited":        {folders, source.Options{Limit: 10}, nil},
		"999 classes":    {folders[2:], source.Options{}, nil},
		"a class beside": {slices.Concat(folders, []string{"train/n99999999/a.JPEG", "x"}), source.Options{}, nil},
		"part":           {slices.Concat(folders[:20], val), source.Options{}, nil},
		"archives": {[]string{"ILSVRC2012_img_val.tar", flat, truthName, elevenLines, "train/n01440764/a.JPEG", "x", "ILSVRC2012_img_test_v10102019.tar", tarOf(t, "test/ILSVRC2012_test_00000001.JPEG", "x")},
			source.Options{}, map[string]int{"val": 50000, "test": 100000}},
		"plain": {[]string{"cats/a.JPEG", "x"}, source.Options{}, nil},
	} {
		if got := open(t, put(t, t.TempDir(), c.files...), c.o).Official(); !maps.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
