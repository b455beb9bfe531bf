package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"alexnet/records"

	"github.com/klauspost/compress/gzip"
)

// cifarShape is that of CIFAR's pictures.
var cifarShape = records.Shape{C: 3, H: 32, W: 32} //nolint:gochecknoglobals // read only

// A cifarFormat is one of the two sets in Toronto's binary version: records of
// the labels, a byte each, then the planes of red, green and blue. The last
// label is the one that counts: CIFAR-100 has a coarse one before it.
type cifarFormat struct {
	name    string // of the set
	layout  string
	folder  string // that the archive unpacks to
	archive string // without .gz
	label   int    // bytes of labels
	train   []string
	val     string
	names   string   // the text file that lists the classes
	classes []string // in the order of labels, which is the alphabet's
}

// cifar10 and cifar100 as described on the sets' page.
var cifar10 = &cifarFormat{ //nolint:gochecknoglobals // read only
	name: "CIFAR-10", layout: LayoutCIFAR10, folder: "cifar-10-batches-bin", archive: "cifar-10-binary.tar",
	label: 1,
	train: []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
	val:   "test_batch.bin", names: "batches.meta.txt",
	classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
}

var cifar100 = &cifarFormat{ //nolint:gochecknoglobals // read only
	name: "CIFAR-100", layout: LayoutCIFAR100, folder: "cifar-100-binary", archive: "cifar-100-binary.tar",
	label: 2,
	train: []string{"train.bin"},
	val:   "test.bin", names: "fine_label_names.txt",
	classes: strings.Fields(`apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge
		bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
		crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
		lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
		orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
		road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower
		sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
		willow_tree wolf woman worm`),
}

// record is the length of a record in bytes: 3,073 or 3,074.
func (c *cifarFormat) record() int64 { return int64(c.label + cifarShape.Size()) }

// split is that of a file of pictures, "" of any other.
func (c *cifarFormat) split(base string) string {
	switch {
	case slices.Contains(c.train, base):
		return Train
	case base == c.val:
		return Val
	}
	return ""
}

// hint says what to do about a broken file of the set.
func (c *cifarFormat) hint() string {
	return "unpack it again from " + c.archive + ".gz, or download that again"
}

// isCIFARName says whether a file is one of CIFAR-10's by its name. CIFAR-100's
// names tell nothing.
func isCIFARName(base string) bool { return cifar10.split(base) != "" }

// isPickledCIFAR says whether dir holds the version for Python.
func isPickledCIFAR(t tree, dir string) bool {
	return isFile(t, t.join(dir, "data_batch_1")) || isFile(t, t.join(dir, "fine_label_names")) ||
		isFile(t, t.join(dir, "train")) && isFile(t, t.join(dir, "meta"))
}

// A cifarSet is a CIFAR that lies somewhere.
type cifarSet struct {
	*cifarFormat
	tree     tree
	archive  string   // the tar that holds the files, compressed or not, or
	paths    []string // the files themselves
	nameFile string   // the path of the list of names, "" if it is not there
}

// find looks in dir and in the folder and archive that it may hold.
func (c *cifarFormat) find(t tree, dir string) (raster, string, error) {
	for _, in := range []string{t.join(dir, c.folder), dir} {
		if !isFolder(t, in) {
			continue
		}
		set := &cifarSet{cifarFormat: c, tree: t, nameFile: findFile(t, []string{in}, c.names)}
		for _, base := range append(slices.Clone(c.train), c.val) {
			if file := findFile(t, []string{in}, base); file != "" {
				set.paths = append(set.paths, file)
			}
		}
		// The names train.bin and test.bin alone tell too little.
		if len(set.paths) > 0 && (c == cifar10 || set.nameFile != "" || hasRecords(t, set.paths[0], c.record())) {
			return set, c.layout, nil
		}
	}
	for _, name := range []string{c.archive + ".gz", c.archive} {
		if file := findFile(t, []string{dir}, name); file != "" {
			return &cifarSet{cifarFormat: c, tree: t, archive: file}, c.layout, nil
		}
	}
	return nil, c.layout, nil
}

// hasRecords says whether a file's length is a multiple of a record's.
func hasRecords(t tree, file string, record int64) bool {
	_, size, err := t.stat(file)
	return err == nil && size > 0 && size%record == 0
}

// peekFiles and peekBytes bound the search for a CIFAR in an archive that may be
// any.
const (
	peekFiles = 8
	peekBytes = 64 << 20
)

// findCIFARArchive says whether a file is an archive of CIFAR, by its name or
// its first members. It is not where it cannot be read: others will say so.
func findCIFARArchive(ctx context.Context, t tree, file string) (*cifarSet, error) {
	for _, c := range []*cifarFormat{cifar10, cifar100} {
		if base := filepath.Base(file); base == c.archive || base == c.archive+".gz" {
			return &cifarSet{cifarFormat: c, tree: t, archive: file}, nil
		}
	}
	f, err := openPixels(t, file)
	if err != nil {
		return nil, err
	}
	defer f.release()
	w := newWindow(ctx, f.r, f.size, reachOf(f.r)) // bodies are passed over
	defer w.close()
	var r io.Reader = w
	if f.isGzip() {
		z, err := gzip.NewReader(bufio.NewReader(r))
		if err != nil {
			return nil, ctx.Err()
		}
		r = io.LimitReader(z, peekBytes)
	}
	tr := tar.NewReader(r)
	for range peekFiles {
		h, err := tr.Next()
		if err != nil || ctx.Err() != nil {
			return nil, ctx.Err()
		}
		base := path.Base(h.Name)
		if hasImageName(base) || strings.HasSuffix(base, ".tar") {
			return nil, nil
		}
		for _, c := range []*cifarFormat{cifar10, cifar100} {
			if c.split(base) != "" {
				return &cifarSet{cifarFormat: c, tree: t, archive: file}, nil
			}
		}
	}
	return nil, nil
}

// isGzip looks at the first bytes.
func (f *pixelFile) isGzip() bool {
	var magic [2]byte
	_, err := f.r.ReadAt(magic[:], 0)
	return err == nil && compressedAs(magic[:]) == "gzip"
}

func (s *cifarSet) shape() records.Shape { return cifarShape }

func (s *cifarSet) images(split string) int { return map[string]int{Train: 50000, Val: 10000}[split] }

func (s *cifarSet) files() []string {
	if s.archive != "" {
		return []string{s.archive}
	}
	return s.paths
}

func (s *cifarSet) classes() []records.Class {
	classes := make([]records.Class, len(s.cifarFormat.classes))
	for i, name := range s.cifarFormat.classes {
		classes[i].WNID = name
	}
	return classes
}

// list scans the files: the labels of all records are read.
func (s *cifarSet) list(ctx context.Context) ([]*listing, []root, error) {
	files, err := s.open(ctx)
	var roots []root
	for _, f := range files {
		roots = append(roots, newRasterRoot(f, cifarShape))
	}
	if err != nil {
		return nil, roots, err
	}
	train, val := newListing(Train), newListing(Val)
	for i, f := range files {
		l := train
		if s.split(f.base) == Val {
			l = val
		}
		l.from = append(l.from, f.base)
		if err := s.scan(ctx, roots[i].(*rasterRoot), i, l); err != nil {
			return nil, roots, err
		}
	}
	var lists []*listing
	for _, l := range []*listing{train, val} {
		if len(l.items) > 0 {
			if l.path = s.files()[0]; s.archive != "" {
				l.from = []string{filepath.Base(s.archive)}
			}
			l.packKeys()
			lists = append(lists, l)
		}
	}
	return lists, roots, nil
}

// open opens the files of pictures, and checks the names of the classes.
func (s *cifarSet) open(ctx context.Context) (files []*pixelFile, err error) {
	if s.archive != "" {
		return s.openArchive(ctx)
	}
	if s.nameFile != "" {
		f, err := openPixels(s.tree, s.nameFile)
		if err != nil {
			return nil, err
		}
		err = s.checkNames(f.name, io.NewSectionReader(f.r, 0, f.size))
		f.release()
		if err != nil {
			return nil, err
		}
	}
	for _, name := range s.paths {
		f, err := openPixels(s.tree, name)
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if err := f.fetch(ctx); err != nil {
			return files, err
		}
	}
	return files, nil
}

// checkNames compares a list of the classes with what the labels are taken for.
func (c *cifarFormat) checkNames(file string, r io.Reader) error {
	var names []string
	scanner := bufio.NewScanner(io.LimitReader(r, maxTruthBytes))
	for scanner.Scan() {
		if name := strings.TrimSpace(scanner.Text()); name != "" {
			names = append(names, name)
		}
	}
	if err := scanner.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return ioError(file, err, "check the disk")
	}
	for i, want := range c.classes {
		if i >= len(names) || names[i] != want {
			got := "nothing"
			if i < len(names) {
				got = fmt.Sprintf("%.40q", names[i])
			}
			return &UnsupportedError{Path: file, Reason: fmt.Sprintf("gives the label %d the name %s, in %s it is %q", i, got, c.name, want),
				Hint: "if the set is " + c.name + ", remove the file"}
		}
	}
	return nil
}

// openArchive opens the members of a tar. An uncompressed one is read in place, a
// gzipped one is unpacked into memory, in one pass.
func (s *cifarSet) openArchive(ctx context.Context) ([]*pixelFile, error) {
	f, err := openPixels(s.tree, s.archive)
	if err != nil {
		return nil, err
	}
	if f.isGzip() {
		defer f.release()
		return s.unpackArchive(ctx, f, maxUnpacked)
	}
	if err := f.fetch(ctx); err != nil {
		return nil, err
	}
	if isRemote(f.r) {
		return nil, &UnsupportedError{Path: s.archive, Reason: errUnpacked.Error(), Hint: "unpack it"}
	}
	files, err := s.openTar(ctx, f)
	if len(files) == 0 {
		f.release()
	} else {
		files[0].owned = f.owned
	}
	return files, err
}

// unpackArchive reads a gzipped tar, and keeps at most limit bytes.
func (s *cifarSet) unpackArchive(ctx context.Context, f *pixelFile, limit int64) ([]*pixelFile, error) {
	body, err := fromStart(reading(ctx, f.r), f.size)
	if err != nil {
		return nil, err
	}
	defer release(body)
	z, err := gzip.NewReader(bufio.NewReaderSize(body, memoryChunk))
	if err != nil {
		return nil, archiveFault(s.archive, "", err)
	}
	files, err := s.unpackTar(ctx, tar.NewReader(z), limit)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, z); err != nil { // to the checksum
		return nil, archiveFault(s.archive, "", err)
	}
	return files, nil
}

// openTar finds the files in an uncompressed tar.
func (s *cifarSet) openTar(ctx context.Context, f *pixelFile) (files []*pixelFile, err error) {
	err = scanTar(ctx, f.r, f.size, near, func(m member) error {
		section, base := io.NewSectionReader(f.r, m.offset, m.size), path.Base(m.name)
		switch {
		case m.plain && s.split(base) != "":
			if twice(files, base) {
				return fmt.Errorf("holds %s twice", base)
			}
			files = append(files, &pixelFile{name: s.archive + ": " + m.name, base: base, r: section, size: m.size})
		case m.plain && base == s.names:
			return s.checkNames(s.archive+": "+m.name, section)
		}
		return nil
	})
	return files, s.fault(ctx, err, files)
}

// unpackTar reads the files of a compressed tar.
func (s *cifarSet) unpackTar(ctx context.Context, tr *tar.Reader, limit int64) (files []*pixelFile, err error) {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return files, s.fault(ctx, nil, files)
		}
		if err != nil {
			return nil, s.fault(ctx, err, files)
		}
		switch base := path.Base(h.Name); {
		case s.split(base) != "":
			if twice(files, base) {
				return nil, s.fault(ctx, fmt.Errorf("holds %s twice", base), files)
			}
			m, err := readMemory(ctx, tr, limit)
			if err != nil {
				return nil, s.fault(ctx, err, files)
			}
			limit -= m.size
			files = append(files, &pixelFile{name: s.archive + ": " + h.Name, base: base, r: m, size: m.size})
		case base == s.names:
			var text bytes.Buffer
			if _, err := io.Copy(&text, io.LimitReader(tr, maxTruthBytes)); err != nil {
				return nil, s.fault(ctx, err, files)
			}
			if err := s.checkNames(s.archive+": "+h.Name, &text); err != nil {
				return nil, err
			}
		}
	}
}

// twice says whether a file of the name is there already. So the number of files
// is bounded, and with it what unpacking them takes.
func twice(files []*pixelFile, base string) bool {
	return slices.ContainsFunc(files, func(f *pixelFile) bool { return f.base == base })
}

// fault words what is wrong with the archive, if anything is.
func (s *cifarSet) fault(ctx context.Context, err error, files []*pixelFile) error {
	unsupported, ok := errors.AsType[*UnsupportedError](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ok:
		return unsupported
	case errors.Is(err, errUnpacked):
		return &UnsupportedError{Path: s.archive, Reason: err.Error(), Hint: "unpack it"}
	case err != nil:
		return archiveFault(s.archive, "", err)
	case len(files) == 0:
		return &UnsupportedError{Path: s.archive, Reason: "holds none of the files of " + s.name, Hint: downloadHint(s.archive)}
	}
	return nil
}

// scan lists the pictures of one file.
func (c *cifarFormat) scan(ctx context.Context, r *rasterRoot, number int, l *listing) error {
	f, record := r.file, c.record()
	if f.size == 0 || f.size%record != 0 {
		return f.malformed(c.hint(), "has %d bytes, which is not a whole number of records of %d: it is cut short, or not of %s", f.size, record, c.name)
	}
	key := strings.TrimSuffix(f.base, ".bin")
	const many = 256
	buf := make([]byte, min(many*record, f.size))
	labels := make([]byte, 0, many)
	for offset := int64(0); offset < f.size; offset += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf = buf[:min(int64(len(buf)), f.size-offset)]
		if _, err := f.r.ReadAt(buf, offset); err != nil && err != io.EOF {
			return f.fault(err)
		}
		labels = labels[:0]
		for at := 0; at < len(buf); at += int(record) {
			label := buf[at+c.label-1]
			if int(label) >= len(c.classes) {
				return f.malformed(c.hint(), "gives picture %d the label %d, %s has 0 to %d", (offset+int64(at))/record, label, c.name, len(c.classes)-1)
			}
			labels = append(labels, label)
		}
		l.addRaster(r, number, key, int(offset/record), labels, offset+int64(c.label), record)
	}
	return nil
}
