package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Names of the devkit and of the two of its files that are used.
const (
	devkitArchive = "ILSVRC2012_devkit_t12.tar.gz"
	devkitFolder  = "ILSVRC2012_devkit_t12"
	truthName     = "ILSVRC2012_validation_ground_truth.txt"
	metaName      = "meta.mat"
)

// maxDevkitBytes bounds what is unpacked of a devkit; the real one has 2.5 MB.
const maxDevkitBytes = 256 << 20

// maxTruthBytes bounds a ground truth file; the real one has 195 kB.
const maxTruthBytes = 16 << 20

// A devkit is what was found of ILSVRC 2012's development kit.
type devkit struct {
	truthFile string  // where the ground truth was found, "" if it was not
	truth     []int32 // devkit id of validation image i+1
	metaFile  string  // where meta.mat was found, "" if it was not
}

// present says whether any part of a devkit was found. Then the class list is
// the official one.
func (k *devkit) present() bool { return k.truthFile != "" || k.metaFile != "" }

// findDevkit looks for the ground truth and meta.mat in each of the folders, one
// after the other: in the folder itself, in the devkit's folder, devkit/ and
// data/, and else in the devkit's archive. Nothing found is no error.
func findDevkit(t tree, homes []string) (*devkit, error) {
	kit := &devkit{}
	for _, home := range homes {
		if kit.truthFile != "" {
			break
		}
		if err := kit.findIn(t, home); err != nil {
			return nil, err
		}
	}
	return kit, nil
}

// findIn adds what dir has of a devkit.
func (k *devkit) findIn(t tree, dir string) error {
	for _, sub := range []string{"", devkitFolder + "/data", devkitFolder, "devkit/data", "devkit", "data"} {
		at := t.join(dir, sub)
		if k.truthFile == "" {
			if err := k.readLoose(t, t.join(at, truthName), maxTruthBytes, k.takeTruth); err != nil {
				return err
			}
		}
		if k.metaFile == "" {
			if err := k.readLoose(t, t.join(at, metaName), maxMatBytes, k.takeMeta); err != nil {
				return err
			}
		}
	}
	if k.truthFile != "" {
		return nil
	}
	archive, err := findDevkitArchive(t, dir)
	if err != nil || archive == "" {
		return err
	}
	return k.readArchive(t, archive)
}

// readLoose reads a file if it is there.
func (k *devkit) readLoose(t tree, file string, limit int64, take func(file string, data []byte) error) error {
	f, _, err := t.stream(file)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil
	}
	if err != nil {
		return ioError(file, err, "check that it may be read")
	}
	defer release(f)
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return ioError(file, err, "check that it may be read")
	}
	if int64(len(data)) > limit {
		return &MalformedError{File: file, Cause: fmt.Errorf("is larger than %d MB", limit>>20)}
	}
	return take(file, data)
}

// takeTruth parses a ground truth: one devkit id, 1 to 1000, a line.
func (k *devkit) takeTruth(file string, data []byte) error {
	const hint = "take the file from " + devkitArchive
	text := strings.TrimRight(string(data), "\r\n \t")
	if text == "" {
		return &MalformedError{File: file, Cause: errors.New("is empty"), Hint: hint}
	}
	truth := make([]int32, 0, strings.Count(text, "\n")+1)
	for line := range strings.Lines(text) {
		word := strings.TrimSpace(line)
		id, err := strconv.Atoi(word)
		if err != nil || id < 1 || id > len(officialSynsets()) {
			return &MalformedError{File: file, Line: len(truth) + 1,
				Cause: fmt.Errorf("%q is no devkit id (1 to %d)", word, len(officialSynsets())), Hint: hint}
		}
		truth = append(truth, int32(id))
	}
	k.truth, k.truthFile = truth, file
	return nil
}

// takeMeta compares a meta.mat with the embedded table. Another order of ids
// would give wrong labels to every validation image.
func (k *devkit) takeMeta(file string, data []byte) error {
	synsets, err := parseMeta(data)
	if err != nil {
		return &MalformedError{File: file, Cause: err, Hint: "take the file from " + devkitArchive}
	}
	for _, s := range synsets {
		want, ok := officialByID(s.ID)
		if ok && s.WNID != want.WNID {
			return &UnsupportedError{Path: file,
				Reason: fmt.Sprintf("devkit id %d is %s here and %s in ILSVRC 2012", s.ID, s.WNID, want.WNID),
				Hint:   "this is the devkit of another year or task; use " + devkitArchive}
		}
	}
	k.metaFile = file
	return nil
}

// findDevkitArchive returns the devkit's archive in dir, "" if there is none:
// the official name, or the one *devkit*.tar.gz.
func findDevkitArchive(t tree, dir string) (string, error) {
	if file := t.join(dir, devkitArchive); isFile(t, file) {
		return file, nil
	}
	entries, err := readFolder(t, dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if file := t.join(dir, e.Name()); isDevkitName(e.Name()) && isFile(t, file) {
			return file, nil
		}
	}
	return "", nil
}

// isDevkitName says whether a file's name is that of a devkit's archive. The
// devkit of task 3 (t3) numbers dogs.
func isDevkitName(name string) bool {
	name = strings.ToLower(name)
	packed := strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar")
	return packed && strings.Contains(name, "devkit") && !strings.Contains(name, "_t3")
}

// readArchive takes the two files out of a devkit's archive, compressed or not.
func (k *devkit) readArchive(t tree, file string) error {
	f, _, err := t.stream(file)
	if err != nil {
		return ioError(file, err, "check that it may be read")
	}
	defer release(f)
	packed := bufio.NewReader(f)
	magic, err := packed.Peek(2)
	if err != nil {
		return archiveFault(file, "", err)
	}
	var r io.Reader = packed
	if compressedAs(magic) == "gzip" {
		if r, err = gzip.NewReader(packed); err != nil {
			return archiveFault(file, "", err)
		}
	}
	tr := tar.NewReader(io.LimitReader(r, maxDevkitBytes))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return archiveFault(file, "", err)
		}
		var take func(string, []byte) error
		switch base := path.Base(h.Name); {
		case base == truthName && k.truthFile == "":
			take = k.takeTruth
		case base == metaName && k.metaFile == "":
			take = k.takeMeta
		default:
			continue
		}
		if h.Size > maxMatBytes {
			return archiveFault(file, h.Name, fmt.Errorf("is larger than %d MB", maxMatBytes>>20))
		}
		var body bytes.Buffer
		if _, err := io.Copy(&body, tr); err != nil {
			return archiveFault(file, h.Name, err)
		}
		if err := take(file+": "+h.Name, body.Bytes()); err != nil {
			return err
		}
	}
	if !k.present() {
		return &MalformedError{File: file, Cause: fmt.Errorf("holds neither %s nor %s", metaName, truthName), Hint: downloadHint(file)}
	}
	return nil
}
