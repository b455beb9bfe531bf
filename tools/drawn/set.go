package drawn

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"alexnet/ingest/source"
	"alexnet/records"

	"golang.org/x/sync/errgroup"
)

// Options say what a set holds.
type Options struct {
	// Classes is the number of classes, 1 to MaxClasses.
	Classes int
	// TrainPerClass and ValPerClass are the pictures of each class in the two
	// splits, 0 for no such split. They show different pictures, and the
	// number in one split does not change the other.
	TrainPerClass, ValPerClass int
	// TestPerClass is the number of test pictures of each class, 0 for no test split.
	// They are flat, in random order and named ILSVRC2012_test_NNNNNNNN.JPEG, and
	// nothing says what they show.
	TestPerClass int
	// Seed chooses the pictures.
	Seed uint64
	// Devkit gives the set what needs ILSVRC's devkit: the first Classes of
	// the 1,000 real WNIDs name the classes, the validation pictures are flat,
	// in random order and named ILSVRC2012_val_NNNNNNNN.JPEG, and meta.mat and
	// the ground truth go with them. Without it, classes have the WNIDs of
	// Classes, and the validation pictures have folders or tars too.
	Devkit bool
}

// An OptionsError says that an option is out of range.
type OptionsError struct {
	Option string // the field's name
	Value  int
	Want   string
}

// Error names the option, its value and the range.
func (e *OptionsError) Error() string {
	return fmt.Sprintf("%s is %d, want %s", e.Option, e.Value, e.Want)
}

// Check returns an *OptionsError if an option is out of range.
func (o Options) Check() error {
	switch {
	case o.Classes < 1 || o.Classes > MaxClasses:
		return &OptionsError{"Classes", o.Classes, fmt.Sprintf("1 to %d", MaxClasses)}
	case o.TrainPerClass < 0 || o.TrainPerClass >= firstVal:
		return &OptionsError{"TrainPerClass", o.TrainPerClass, fmt.Sprintf("0 to %d", firstVal-1)}
	case o.ValPerClass < 0 || o.ValPerClass >= firstVal:
		return &OptionsError{"ValPerClass", o.ValPerClass, fmt.Sprintf("0 to %d", firstVal-1)}
	case o.TestPerClass < 0 || o.TestPerClass >= firstVal:
		return &OptionsError{"TestPerClass", o.TestPerClass, fmt.Sprintf("0 to %d", firstVal-1)}
	case o.TrainPerClass+o.ValPerClass == 0:
		return &OptionsError{"TrainPerClass", 0, "a picture in train or val"}
	}
	return nil
}

// firstVal and firstTest are the indices of a class's first validation and test
// pictures; the training pictures begin at 0.
const (
	firstVal  = 1_000_000
	firstTest = 2_000_000
)

// WriteFolder writes a set as folders into dir, which must be empty or not there
// yet: train/<wnid>/, and val/<wnid>/ with synset_words.txt, or with Devkit flat
// val/ and the folder ILSVRC2012_devkit_t12; flat test/. A cancelled context stops it, with
// what was written left behind.
func WriteFolder(ctx context.Context, dir string, o Options) error {
	s, err := newSet(dir, o)
	if err != nil {
		return err
	}
	for _, split := range []struct {
		name   string
		groups []group
	}{{"train", s.train}, {"val", s.val}, {"test", s.test}} {
		for _, g := range split.groups {
			folder := filepath.Join(dir, split.name, g.name)
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return err
			}
			err := g.each(ctx, s.o.Seed, func(name string, data []byte) error {
				return os.WriteFile(filepath.Join(folder, name), data, 0o666)
			})
			if err != nil {
				return err
			}
		}
	}
	for _, f := range s.files {
		file := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(file, f.data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// WriteTars writes a set as ILSVRC's archives into dir, which must be empty or
// not there yet: ILSVRC2012_img_train.tar, a tar of one tar a class, and
// ILSVRC2012_img_val.tar, the same with synset_words.txt beside it, or with
// Devkit flat and with ILSVRC2012_devkit_t12.tar.gz; ILSVRC2012_img_test.tar, flat.
// A cancelled context stops it, with what was written left behind.
func WriteTars(ctx context.Context, dir string, o Options) error {
	s, err := newSet(dir, o)
	if err != nil {
		return err
	}
	for _, split := range []struct {
		name   string
		groups []group
	}{{"ILSVRC2012_img_train.tar", s.train}, {"ILSVRC2012_img_val.tar", s.val}, {"ILSVRC2012_img_test.tar", s.test}} {
		if len(split.groups) == 0 {
			continue
		}
		err := writeFile(filepath.Join(dir, split.name), func(w io.Writer) error {
			return writeTar(w, func(t *tar.Writer) error { return s.archive(ctx, t, split.groups) })
		})
		if err != nil {
			return err
		}
	}
	if !o.Devkit {
		return os.WriteFile(filepath.Join(dir, s.files[0].name), s.files[0].data, 0o666)
	}
	return writeFile(filepath.Join(dir, "ILSVRC2012_devkit_t12.tar.gz"), func(w io.Writer) error {
		z := gzip.NewWriter(w)
		err := writeTar(z, func(t *tar.Writer) error {
			for _, f := range s.files {
				if err := addMember(t, f.name, f.data); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return z.Close()
	})
}

// archive adds a split's pictures to a tar, in tars of their own where they have
// classes of their own.
func (s *set) archive(ctx context.Context, t *tar.Writer, groups []group) error {
	for _, g := range groups {
		if g.name == "" {
			return g.each(ctx, s.o.Seed, func(name string, data []byte) error { return addMember(t, name, data) })
		}
		var inner bytes.Buffer
		err := writeTar(&inner, func(t *tar.Writer) error {
			return g.each(ctx, s.o.Seed, func(name string, data []byte) error { return addMember(t, name, data) })
		})
		if err != nil {
			return err
		}
		if err := addMember(t, g.name+".tar", inner.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// writeFile creates a file and keeps the first error.
func writeFile(name string, fill func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = fill(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// writeTar makes a tar with its end mark.
func writeTar(w io.Writer, fill func(*tar.Writer) error) error {
	t := tar.NewWriter(w)
	if err := fill(t); err != nil {
		return err
	}
	return t.Close()
}

// addMember adds a file to a tar. The header does not depend on the machine or
// the time, so that the same set gives the same archive.
func addMember(t *tar.Writer, name string, data []byte) error {
	h := &tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(1345000000, 0), Format: tar.FormatUSTAR}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

// A picture is one file of a set.
type picture struct {
	name         string
	class, index int
}

// A group are pictures that lie together: a class, or a flat split.
type group struct {
	name     string // the WNID, "" for a flat split
	pictures []picture
}

// each draws the pictures on all processors and hands them on in order.
func (g group) each(ctx context.Context, seed uint64, take func(name string, data []byte) error) error {
	const window = 64 // pictures held at a time
	for from := 0; from < len(g.pictures); from += window {
		part := g.pictures[from:min(from+window, len(g.pictures))]
		drawn := make([][]byte, len(part))
		workers, ctx := errgroup.WithContext(ctx)
		workers.SetLimit(runtime.GOMAXPROCS(0))
		for i, p := range part {
			workers.Go(func() (err error) {
				if err := ctx.Err(); err != nil {
					return err
				}
				drawn[i], err = JPEG(seed, p.class, p.index)
				return err
			})
		}
		if err := workers.Wait(); err != nil {
			return err
		}
		for i, p := range part {
			if err := take(p.name, drawn[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// A set is what is to be written.
type set struct {
	o                Options
	train, val, test []group
	files            []file // beside the pictures
}

// A file is written as it is.
type file struct {
	name string // with slashes
	data []byte
}

// newSet checks the options, makes sure of an empty folder and names all files.
func newSet(dir string, o Options) (*set, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s: is not empty (%s); remove it or name another folder, two sets must not mix", dir, entries[0].Name())
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	s := &set{o: o}
	s.test, _ = s.flat("test", firstTest, o.TestPerClass)
	wnids := make([]string, o.Classes)
	var words strings.Builder
	for i, c := range Classes(o.Classes) {
		wnids[i] = c.WNID
		fmt.Fprintf(&words, "%s %s\n", c.WNID, c.Words)
	}
	if !o.Devkit {
		s.train = classGroups(wnids, 0, o.TrainPerClass)
		s.val = classGroups(wnids, firstVal, o.ValPerClass)
		s.files = []file{{"synset_words.txt", []byte(words.String())}}
		return s, nil
	}
	synsets := source.ILSVRC2012()
	for i := range wnids {
		wnids[i] = synsets[i].WNID
	}
	s.train = classGroups(wnids, 0, o.TrainPerClass)
	truth := s.flatVal(synsets)
	meta, err := Meta(synsets)
	if err != nil {
		return nil, err
	}
	const data = "ILSVRC2012_devkit_t12/data"
	s.files = []file{{path.Join(data, "meta.mat"), meta}, {path.Join(data, "ILSVRC2012_validation_ground_truth.txt"), truth}}
	return s, nil
}

// classGroups names n pictures of each class, from an index on.
func classGroups(wnids []string, from, n int) []group {
	var groups []group
	for class, wnid := range wnids {
		g := group{name: wnid}
		for i := range n {
			g.pictures = append(g.pictures, picture{fmt.Sprintf("%s_%d.JPEG", wnid, from+i), class, from + i})
		}
		if n > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// flatVal makes the flat validation split and returns the ground truth: the devkit id,
// which is not the label, of each picture.
func (s *set) flatVal(synsets []source.Synset) []byte {
	var truth bytes.Buffer
	var classes []int
	s.val, classes = s.flat("val", firstVal, s.o.ValPerClass)
	for _, class := range classes {
		fmt.Fprintf(&truth, "%d\n", synsets[class].ID)
	}
	return truth.Bytes()
}

// flat numbers the pictures of a split, perClass of each class from an index on, in
// random order. It returns the class of each too.
func (s *set) flat(split string, first, perClass int) (groups []group, classes []int) {
	g := group{}
	for i, p := range records.Permutation("drawn"+split, s.o.Seed, 0, s.o.Classes*perClass) {
		class := int(p) % s.o.Classes
		g.pictures = append(g.pictures, picture{fmt.Sprintf("ILSVRC2012_%s_%08d.JPEG", split, i+1), class, first + int(p)/s.o.Classes})
		classes = append(classes, class)
	}
	if len(classes) > 0 {
		groups = []group{g}
	}
	return groups, classes
}
