package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"alexnet/records"
)

// MNIST's idx files: two zero bytes, the type of the values (8: bytes), the
// number of dimensions, then each dimension as a big-endian 32-bit number, then
// the values. Pictures have three dimensions (how many, rows, columns), labels
// have one.
const (
	idxBytes     = 8
	idxPictures  = 3
	idxLabels    = 1
	maxIdxSide   = 1 << 12
	maxIdxImages = 1 << 24
	idxHint      = "download or unpack the file again"
)

// idxSplits are the first parts of the files' names.
var idxSplits = [...]struct{ split, prefix string }{{Train, "train"}, {Val, "t10k"}} //nolint:gochecknoglobals // read only

// idxNames are the names under which a file of idxSplits is found: the original
// one, and that of unpackers which take the dash for an extension's dot.
func idxNames(prefix, kind string, dimensions int) []string {
	var names []string
	for _, mark := range []string{"-", "."} {
		name := fmt.Sprintf("%s-%s%sidx%d-ubyte", prefix, kind, mark, dimensions)
		names = append(names, name, name+".gz")
	}
	return names
}

// isIdxName says whether a file is one of those.
func isIdxName(base string) bool {
	return slices.ContainsFunc(idxSplits[:], func(s struct{ split, prefix string }) bool {
		return slices.Contains(idxNames(s.prefix, "images", idxPictures), base) || slices.Contains(idxNames(s.prefix, "labels", idxLabels), base)
	})
}

// An idxSet is MNIST, or one of the sets that took over its format.
type idxSet struct {
	tree    tree
	splits  []idxSplit
	size    records.Shape
	fashion bool // the labels are those of Fashion-MNIST
}

// An idxSplit is the two files of a split.
type idxSplit struct{ split, prefix, images, labels string }

// findMNIST looks in dir, and in the folders that torchvision makes below it.
func findMNIST(t tree, dir string) (raster, string, error) {
	var found []*idxSet
	var folders []string
	for _, below := range []string{"", "raw", "MNIST/raw", "FashionMNIST/raw"} {
		in := t.join(dir, below)
		if !isFolder(t, in) {
			continue
		}
		set, err := findIdx(t, in)
		if err != nil {
			return nil, LayoutMNIST, err
		}
		if len(set.splits) > 0 {
			found, folders = append(found, set), append(folders, in)
		}
	}
	switch len(found) {
	case 0:
		return nil, LayoutMNIST, nil
	case 1:
		return found[0], LayoutMNIST, nil
	}
	return nil, LayoutMNIST, &UnsupportedError{Path: dir, Reason: "holds more than one set of idx files", Hint: "give " + strings.Join(folders, " or ")}
}

// findIdx looks for the pairs of files in one folder.
func findIdx(t tree, dir string) (*idxSet, error) {
	set := &idxSet{tree: t}
	for _, s := range idxSplits {
		images, labels := "", ""
		for _, name := range idxNames(s.prefix, "images", idxPictures) {
			images = findFirst(t, images, dir, name)
		}
		for _, name := range idxNames(s.prefix, "labels", idxLabels) {
			labels = findFirst(t, labels, dir, name)
		}
		switch {
		case images == "" && labels == "":
			continue
		case labels == "":
			return nil, &UnsupportedError{Path: images, Reason: "has pictures, and the file of their labels is missing", Hint: "put " + idxNames(s.prefix, "labels", idxLabels)[1] + " beside it"}
		case images == "":
			return nil, &UnsupportedError{Path: labels, Reason: "has labels, and the file of the pictures is missing", Hint: "put " + idxNames(s.prefix, "images", idxPictures)[1] + " beside it"}
		}
		set.splits = append(set.splits, idxSplit{s.split, s.prefix, images, labels})
	}
	return set, nil
}

// findFirst gives the file that was found before, or the one in dir.
func findFirst(t tree, before, dir, name string) string {
	if before != "" {
		return before
	}
	return findFile(t, []string{dir}, name)
}

func (s *idxSet) shape() records.Shape { return s.size }

func (s *idxSet) images(split string) int { return map[string]int{Train: 60000, Val: 10000}[split] }

func (s *idxSet) files() (files []string) {
	for _, p := range s.splits {
		files = append(files, p.images, p.labels)
	}
	return files
}

// fashionWords are the words for the labels of Fashion-MNIST.
var fashionWords = [10]string{ //nolint:gochecknoglobals // read only
	"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
}

// fashionStart is how the labels of Fashion-MNIST begin, training and test:
// nothing else in the files tells which set they are of.
var fashionStart = map[string][]byte{ //nolint:gochecknoglobals // read only
	Train: {9, 0, 0, 3, 0, 2, 7, 2, 5, 5},
	Val:   {9, 2, 1, 1, 6, 1, 4, 6, 5, 7},
}

func (s *idxSet) classes() []records.Class {
	classes := make([]records.Class, 10)
	for i := range classes {
		classes[i].WNID = string(rune('0' + i))
		if s.fashion {
			classes[i].Words = fashionWords[i]
		}
	}
	return classes
}

// list opens the pairs and reads the labels.
func (s *idxSet) list(ctx context.Context) (lists []*listing, roots []root, err error) {
	for _, p := range s.splits {
		pictures, size, err := openIdx(ctx, s.tree, p.images, idxPictures)
		if err != nil {
			return nil, roots, err
		}
		shape := records.Shape{C: 1, H: size[1], W: size[2]}
		r := newRasterRoot(pictures, shape)
		roots = append(roots, r)
		if s.size == (records.Shape{}) {
			s.size = shape
		}
		if s.size != shape {
			return nil, roots, pictures.malformed(idxHint, "has pictures of %s, those of %s have %s", shape, s.splits[0].images, s.size)
		}
		labels, err := readLabels(ctx, s.tree, p.labels)
		if err != nil {
			return nil, roots, err
		}
		if len(labels) != size[0] {
			return nil, roots, pictures.malformed("the two are not of one set: "+idxHint, "has %d pictures, %s has %d labels", size[0], filepath.Base(p.labels), len(labels))
		}
		s.fashion = s.fashion || bytes.HasPrefix(labels, fashionStart[p.split])
		l := newListing(p.split)
		l.path, l.from = p.images, []string{filepath.Base(p.images)}
		l.items = make([]Item, 0, len(labels))
		l.addRaster(r, len(roots)-1, p.prefix, 0, labels, pictures.size-int64(size[0]*shape.Size()), int64(shape.Size()))
		l.packKeys()
		lists = append(lists, l)
	}
	return lists, roots, nil
}

// readLabels reads a file of labels, all of which must be 0 to 9.
func readLabels(ctx context.Context, t tree, file string) ([]byte, error) {
	f, size, err := openIdx(ctx, t, file, idxLabels)
	if err != nil {
		return nil, err
	}
	defer f.release()
	return f.labels(size[0])
}

// labels reads the last n bytes of a file of labels.
func (f *pixelFile) labels(n int) ([]byte, error) {
	labels := make([]byte, n) // the file has so many
	if _, err := f.r.ReadAt(labels, f.size-int64(n)); err != nil && err != io.EOF {
		return nil, f.fault(err)
	}
	for i, label := range labels {
		if label > 9 {
			return nil, f.malformed(idxHint, "gives picture %d the label %d, MNIST has 0 to 9", i, label)
		}
	}
	return labels, nil
}

// openIdx opens an idx file, gzipped or not, whose length is what its header
// says.
func openIdx(ctx context.Context, t tree, file string, dimensions int) (*pixelFile, []int, error) {
	f, err := openPixels(t, file)
	if err != nil {
		return nil, nil, err
	}
	content, size, err := f.idx(ctx, dimensions)
	if err != nil || content != f {
		f.release()
	}
	return content, size, err
}

// idx unpacks the file if it is gzipped, and gives the dimensions of what is in
// it.
func (f *pixelFile) idx(ctx context.Context, dimensions int) (*pixelFile, []int, error) {
	if f.isGzip() {
		var err error
		if f, err = unpack(ctx, f, maxUnpacked); err != nil {
			return nil, nil, err
		}
	} else if err := f.fetch(ctx); err != nil {
		return nil, nil, err
	}
	size, err := f.idxSize(dimensions)
	return f, size, err
}

// idxSize reads the header of an idx file and compares it with the length.
func (f *pixelFile) idxSize(dimensions int) ([]int, error) {
	header := make([]byte, 4+4*dimensions)
	n, err := f.r.ReadAt(header[:min(int64(len(header)), f.size)], 0)
	if err != nil && err != io.EOF {
		return nil, f.fault(err)
	}
	magic := []byte{0, 0, idxBytes, byte(dimensions)}
	switch {
	case f.size == 0:
		return nil, f.malformed(idxHint, "is empty (0 bytes)")
	case n >= 4 && !bytes.Equal(header[:4], magic):
		return nil, f.malformed(idxHint, "begins with %x, an idx file of bytes in %d dimensions with %x", header[:4], dimensions, magic)
	case n < len(header):
		return nil, f.malformed(idxHint, "is truncated: %d bytes, the header alone has %d", n, len(header))
	}
	size := make([]int, dimensions)
	want := int64(1)
	for i := range size {
		d := binary.BigEndian.Uint32(header[4+4*i:])
		most := uint32(maxIdxSide)
		if i == 0 {
			most = maxIdxImages
		}
		if d == 0 || d > most {
			return nil, f.malformed(idxHint, "has a dimension of %d in its header, 1 to %d can be read", d, most)
		}
		size[i] = int(d)
		want *= int64(d)
	}
	if got := f.size - int64(len(header)); got != want {
		return nil, f.malformed(idxHint, "has %d bytes after its header, which tells of %d", got, want)
	}
	return size, nil
}
