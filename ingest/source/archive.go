package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// blockSize is the unit of a tar: headers have one block, bodies are padded to
// whole ones.
const blockSize = 512

// maxPadding is how far a tar may go on after its end mark: tar fills the last
// record, of 10 kB unless told otherwise. More is a hole in a download.
const maxPadding = 64 << 10

// errNoTar is the cause where not even the first header is one.
var errNoTar = errors.New("is no tar archive")

// A member is a file in a tar.
type member struct {
	name   string // as in the header, with its folders
	offset int64  // of its bytes, in the section that was scanned
	size   int64
	plain  bool // a regular file
}

// scanTar reads the headers of a tar and passes over the bodies. It fails where
// the tar is cut off, even between two members, where archive/tar takes the
// missing end mark for the end, and where zeros stand for what was not
// downloaded yet, which archive/tar takes for an end mark.
func scanTar(ctx context.Context, r io.ReaderAt, size int64, how reach, each func(member) error) error {
	if size == 0 {
		return errors.New("is empty (0 bytes)")
	}
	w := newWindow(ctx, r, size, how)
	defer w.close()
	tr := tar.NewReader(w)
	var end int64 // of the members so far, with padding
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		h, err := tr.Next()
		if err == io.EOF {
			if w.pos < end+blockSize {
				return fmt.Errorf("is truncated: ends after %d files without the end mark of a tar", n)
			}
			if rest := size - w.pos; rest > maxPadding {
				return fmt.Errorf("is damaged: ends after %d files at byte %d of %d", n, w.pos, size)
			}
			return nil
		}
		if err != nil {
			if n == 0 && errors.Is(err, tar.ErrHeader) {
				return errNoTar
			}
			return truncated(err)
		}
		if isSparse(h) {
			return fmt.Errorf("%s is stored as a sparse file, which cannot be read in place", h.Name)
		}
		m := member{name: h.Name, offset: w.pos, size: h.Size, plain: h.Typeflag == tar.TypeReg}
		if !m.plain {
			m.size = 0
		}
		if m.size > size-m.offset {
			return fmt.Errorf("is truncated: %s needs %d bytes from offset %d, the archive ends at %d", m.name, m.size, m.offset, size)
		}
		end = m.offset + (m.size+blockSize-1)/blockSize*blockSize
		if err := each(m); err != nil {
			return err
		}
	}
}

// isSparse says whether a member's bytes are not simply what follows its header.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// truncated words an end of file in the middle of something.
func truncated(err error) error {
	if ended(err) {
		return errors.New("is truncated")
	}
	return err
}

// openTar opens a tar for positioned reads and refuses compressed ones.
func openTar(t tree, name string) (*file, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	var magic [6]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && !ended(err) {
		release(f)
		return nil, ioError(name, err, "check the disk")
	}
	if how := compressedAs(magic[:]); how != "" {
		release(f)
		return nil, &UnsupportedError{Path: name, Reason: "is compressed (" + how + ")",
			Hint: "decompress it: images are read in place, which a compressed tar does not allow"}
	}
	return f, nil
}

// release closes what is done with. It was only read, so that nothing is lost
// with an error.
func release(c io.Closer) { _ = c.Close() }

// compressedAs names the compression that a file's first bytes tell of.
func compressedAs(magic []byte) string {
	for prefix, name := range map[string]string{
		"\x1f\x8b": "gzip", "BZh": "bzip2", "\xfd7zXZ\x00": "xz", "\x28\xb5\x2f\xfd": "zstd", "PK\x03\x04": "zip",
	} {
		if strings.HasPrefix(string(magic), prefix) {
			return name
		}
	}
	return ""
}

// archiveFault tells an archive that cannot be read from one that is broken.
func archiveFault(file, member string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return &IOError{File: file, Err: p.Err, Hint: "check the disk"}
	}
	if e, ok := errors.AsType[*IOError](err); ok {
		return e // of a store
	}
	return &MalformedError{File: file, Member: member, Cause: truncated(err), Hint: downloadHint(file)}
}

// A tarFile is an archive that is scanned.
type tarFile struct {
	r      io.ReaderAt
	name   string // its path
	size   int64
	number int // of its root
	reach  reach
	tars   int // how many of the tars in it are scanned at a time
	onScan func(file string, done, size int64)
}

// tell says that so many bytes of the archive are scanned.
func (t *tarFile) tell(done int64) {
	if t.onScan != nil {
		t.onScan(t.name, done, t.size)
	}
}

// tellEvery is how many pictures are listed between two calls of tell.
const tellEvery = 1000

// scanArchive lists a tar of tars, one a class, or a flat tar of images, or a
// tar of images in folders named by WNIDs.
func scanArchive(ctx context.Context, t tarFile, split string) (*listing, error) {
	l := newListing(split)
	var inner []member
	members := 0
	err := scanTar(ctx, t.r, t.size, t.reach, func(m member) error {
		members++
		switch name := path.Base(m.name); {
		case isTarFolder(m):
		case m.plain && strings.HasSuffix(name, ".tar") && name[0] != '.':
			inner = append(inner, m)
		case l.takes(name, m.plain):
			class := path.Base(path.Dir(m.name))
			if !isWNID(class) {
				class = ""
			}
			l.add(class, name, m.size, at(t.number, m.offset))
			if len(l.items)%tellEvery == 0 {
				t.tell(m.offset + m.size)
			}
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && members == 0:
		err = errors.New("is an empty tar")
	case err == nil && len(inner) > 0 && len(l.items) > 0:
		return nil, &UnsupportedError{Path: t.name, Reason: fmt.Sprintf("holds tars (%s) and images (%s) side by side", inner[0].name, l.items[0].Key),
			Hint: "pack either one tar a class, or images only"}
	}
	if err != nil {
		return nil, archiveFault(t.name, "", err)
	}
	for _, m := range inner {
		if name := path.Base(m.name); !utf8.ValidString(name) {
			return nil, &UnsupportedError{Path: t.name, Reason: fmt.Sprintf("has the tar of a class %q, whose name is not UTF-8", name), Hint: "pack it again under another name"}
		}
	}
	if len(inner) > 0 {
		l.whole = isWholeImageNet(t.name, inner)
		return l, l.scanInner(ctx, t, inner)
	}
	l.packKeys()
	return l, nil
}

// isWholeImageNet says whether a tar of tars is ImageNet as a whole, such as
// fall11_whole.tar, and not the contest's 1,000 classes: by its name, or because
// it has more tars named by WNIDs than the contest has classes.
func isWholeImageNet(file string, inner []member) bool {
	if strings.HasPrefix(strings.ToLower(filepath.Base(file)), "fall11") {
		return true
	}
	n := 0
	for _, m := range inner {
		if isWNID(classOfTar(m.name)) {
			n++
		}
	}
	return n > len(officialSynsets())
}

// classOfTar is the class whose images a tar within a tar holds.
func classOfTar(name string) string { return strings.TrimSuffix(path.Base(name), ".tar") }

// isTarFolder says whether a member is a folder, which needs no mention.
func isTarFolder(m member) bool { return !m.plain && strings.HasSuffix(m.name, "/") }

// scanInner lists the tars of the classes, some at a time.
func (l *listing) scanInner(ctx context.Context, t tarFile, inner []member) error {
	lists, errs := make([]*listing, len(inner)), make([]error, len(inner))
	var group errgroup.Group
	group.SetLimit(t.tars)
	var mu sync.Mutex // guards done, and is held by whoever tells of it
	done := int64(0)
	for i, m := range inner {
		group.Go(func() error {
			lists[i], errs[i] = scanClassTar(ctx, t, m, l.split)
			mu.Lock()
			defer mu.Unlock()
			done += m.size
			t.tell(done)
			return nil
		})
	}
	_ = group.Wait() // errs has them
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, err := range errs { // the first in the archive, whichever came first in time
		empty := inner[i].size == 0 || err == nil && len(lists[i].items) == 0
		if empty && l.whole { // it has a few such, and none of 21,841 may stop the rest
			l.skip("tar of a class without images", path.Base(inner[i].name))
			continue
		}
		if empty && err == nil {
			err = lists[i].emptyClass()
		}
		if err != nil {
			return archiveFault(t.name, inner[i].name, err)
		}
	}
	l.join(lists)
	return nil
}

// scanClassTar lists one class's tar within the outer one, which may be empty.
func scanClassTar(ctx context.Context, t tarFile, tarred member, split string) (*listing, error) {
	class := classOfTar(tarred.name)
	l := newListing(split)
	how := t.reach
	how.more = 0 // others are scanned meanwhile
	section := io.NewSectionReader(reading(ctx, t.r), tarred.offset, tarred.size)
	err := scanTar(ctx, section, tarred.size, how, func(m member) error {
		if isTarFolder(m) {
			return nil
		}
		if name := path.Base(m.name); l.takes(name, m.plain) {
			l.add(class, name, m.size, at(t.number, tarred.offset+m.offset))
		}
		return nil
	})
	l.packKeys()
	return l, err
}
