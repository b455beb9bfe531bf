package source

import (
	"path/filepath"

	"alexnet/records"
)

// Names of ILSVRC's archives.
const (
	trainArchive = "ILSVRC2012_img_train.tar"
	valArchive   = "ILSVRC2012_img_val.tar"
)

// publishedMD5 are the digests that the makers of the sets published for their
// archives: on image-net.org, on Toronto's CIFAR page, and with the two MNISTs,
// whose files have the same names.
var publishedMD5 = [...]struct{ name, set, md5 string }{ //nolint:gochecknoglobals // read only
	{trainArchive, "ILSVRC2012", "1d675b47d978889d74fa0da5fadfb00e"},
	{valArchive, "ILSVRC2012", "29b22e2961454d5413ddabcf34fc5622"},
	{"ILSVRC2012_img_test.tar", "ILSVRC2012", "fe64ceb247e473635708aed23ab6d839"},
	{"ILSVRC2012_img_test_v10102019.tar", "ILSVRC2012", "e1b8681fff3d63731c599df9b4b6fc02"},
	{devkitArchive, "ILSVRC2012", "fa75699e90414af021442c21a62c3abf"},
	{"cifar-10-binary.tar.gz", "CIFAR-10", "c32a1d4ab5d03f1284b67883e8d87530"},
	{"cifar-100-binary.tar.gz", "CIFAR-100", "03b5dce01913d631647c71ecec9e9cb8"},
	{"train-images-idx3-ubyte.gz", "MNIST", "f68b3c2dcbeaaa9fbdd348bbdeb94873"},
	{"train-labels-idx1-ubyte.gz", "MNIST", "d53e105ee54ea40749a09fcbcd1e9432"},
	{"t10k-images-idx3-ubyte.gz", "MNIST", "9fb629c4189551a2d022fa330f9573f3"},
	{"t10k-labels-idx1-ubyte.gz", "MNIST", "ec29112dd5afa0611ce80d1b7f02629c"},
	{"train-images-idx3-ubyte.gz", "Fashion-MNIST", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"},
	{"train-labels-idx1-ubyte.gz", "Fashion-MNIST", "25c81989df183df01b3e8a0aad5dffbe"},
	{"t10k-images-idx3-ubyte.gz", "Fashion-MNIST", "bef4ecab320f06d8554ea6380940ec79"},
	{"t10k-labels-idx1-ubyte.gz", "Fashion-MNIST", "bb300cfdad3c16e7a12a480ee83cd310"},
}

// downloadHint says what to do about a broken archive.
func downloadHint(file string) string {
	for _, p := range publishedMD5 {
		if filepath.Base(file) == p.name {
			return "download it again (the original has the MD5 " + p.md5 + ")"
		}
	}
	return "copy or make the archive again"
}

// publishedImages are the numbers of images in ILSVRC 2012's splits.
func publishedImages(split string) int {
	return map[string]int{Train: 1281167, Val: 50000, Test: 100000}[split]
}

// isOfficialArchive says whether a file has the name under which ILSVRC 2012's
// images of a split were distributed.
func isOfficialArchive(file, split string) bool {
	switch filepath.Base(file) {
	case trainArchive:
		return split == Train
	case valArchive:
		return split == Val
	case "ILSVRC2012_img_test.tar", "ILSVRC2012_img_test_v10102019.tar":
		return split == Test
	}
	return false
}

// published finds the splits of ILSVRC 2012 whose number of images is known:
// all, where the training split has images of all 1,000 classes and of no other,
// and those that are read from an archive with the official name.
func published(parts []part, lists []*listing, classes []records.Class) map[string]int {
	counts := map[string]int{}
	whole := false
	for _, l := range lists {
		whole = whole || l.split == Train && hasAll(l, classes)
	}
	for i, l := range lists {
		if whole || parts[i].archive && isOfficialArchive(parts[i].path, l.split) {
			counts[l.split] = publishedImages(l.split)
		}
	}
	if len(counts) == 0 {
		return nil
	}
	return counts
}

// hasAll says whether classes are the 1,000 of the contest, and items of all of
// them are listed.
func hasAll(l *listing, classes []records.Class) bool {
	if len(classes) != len(officialSynsets()) {
		return false
	}
	seen := make([]bool, len(classes))
	n := 0
	for i := range l.items {
		if label := l.items[i].Label; label >= 0 && !seen[label] && classes[label].ILSVRCID != 0 {
			seen[label] = true
			n++
		}
	}
	return n == len(classes)
}
