package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// What an entry of a folder is after following links.
type entryKind int

const (
	kindFile entryKind = iota
	kindFolder
	kindBroken // nothing, or a link to nothing: as a file it will fail to be read
	kindOther  // a device, a pipe
)

// follow looks at an entry of dir, through symbolic links, which only the
// operating system's folders have, and gives a file's size.
func follow(dir string, e fs.DirEntry) (entryKind, int64, error) {
	if e.IsDir() {
		return kindFolder, 0, nil
	}
	link := e.Type()&fs.ModeSymlink != 0
	look := e.Info
	if link {
		look = func() (fs.FileInfo, error) { return os.Stat(filepath.Join(dir, e.Name())) }
	}
	info, err := look()
	switch {
	case err != nil && link:
		return kindBroken, 0, nil
	case err != nil:
		return kindOther, 0, &IOError{File: filepath.Join(dir, e.Name()), Err: cause(err), Hint: "leave the source alone while it is read"}
	case info.IsDir():
		return kindFolder, 0, nil
	case info.Mode().IsRegular():
		return kindFile, info.Size(), nil
	}
	return kindOther, 0, nil
}

// readFolder lists a folder, sorted by name.
func readFolder(t tree, dir string) ([]fs.DirEntry, error) {
	entries, err := t.list(dir)
	if err != nil {
		return nil, ioError(dir, err, "check that the folder is there and may be read")
	}
	return entries, nil
}

// scanFolder lists one split: class folders with images, or images.
func scanFolder(ctx context.Context, t tree, dir, split string, number int) (*listing, error) {
	entries, err := readFolder(t, dir)
	if err != nil {
		return nil, err
	}
	l := newListing(split)
	var classes []string
	tars := 0
	for i, e := range entries {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		kind, size, err := follow(dir, e)
		if err != nil {
			return nil, err
		}
		switch {
		case kind == kindFolder && !utf8.ValidString(e.Name()):
			return nil, &UnsupportedError{Path: dir, Reason: fmt.Sprintf("has the class folder %q, whose name is not UTF-8", e.Name()), Hint: "rename it"}
		case kind == kindFolder && !strings.HasPrefix(e.Name(), "."):
			classes = append(classes, e.Name())
		case kind == kindBroken && !hasImageName(e.Name()):
			l.skip("link to nothing", e.Name())
		case l.takes(e.Name(), kind == kindFile || kind == kindBroken):
			l.add("", e.Name(), size, at(number, entryStamp(e)))
		case strings.HasSuffix(e.Name(), ".tar"):
			tars++
		}
	}
	if len(classes) == 0 {
		return l, flatFault(dir, split, l, len(entries), tars)
	}
	if len(l.items) > 0 {
		if split != Train {
			return nil, &UnsupportedError{Path: dir, Reason: fmt.Sprintf("holds class folders (%s) and images (%s) side by side", classes[0], l.items[0].Key),
				Hint: "keep either one folder a class, or images only"}
		}
		for i := range l.items {
			l.skip("image outside a class folder", l.items[i].Key)
		}
		l.items = nil
	}
	lists, errs := make([]*listing, len(classes)), make([]error, len(classes))
	var group errgroup.Group
	group.SetLimit(t.scanners())
	for i, class := range classes {
		group.Go(func() error {
			lists[i], errs[i] = scanClass(ctx, t, dir, class, split, number)
			return nil
		})
	}
	_ = group.Wait()           // errs has them
	for _, err := range errs { // the first by name, whichever came first in time
		if err != nil {
			return nil, err
		}
	}
	l.join(lists)
	if len(l.items) == 0 { // of what was skipped
		return l, flatFault(dir, split, l, len(entries), tars)
	}
	return l, nil
}

// flatFault says what is wrong with a split that has no class folders, if
// anything is.
func flatFault(dir, split string, l *listing, entries, tars int) error {
	switch {
	case entries == 0:
		return &UnsupportedError{Path: dir, Reason: "is an empty folder", Hint: "put the images there, or remove the folder"}
	case tars > 0 && len(l.items) == 0:
		return &UnsupportedError{Path: dir, Reason: fmt.Sprintf("holds %d tars and no class folders", tars),
			Hint: "unpack each into a folder of its name, or give the original ILSVRC2012_img_train.tar as it is"}
	case len(l.items) == 0:
		return &UnsupportedError{Path: dir, Reason: l.emptyClass().Error(), Hint: "put the images there, or remove the folder"}
	case split == Train:
		return &UnsupportedError{Path: dir, Reason: fmt.Sprintf("holds images (%s) but no class folders, so they have no labels", l.items[0].Key),
			Hint: "put the images of each class into a folder named by its WNID"}
	}
	return nil
}

// scanClass lists the images of one class folder, none where it is an output of
// ingest.
func scanClass(ctx context.Context, t tree, dir, class, split string, number int) (*listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := t.join(dir, class)
	entries, err := readFolder(t, in)
	if err != nil {
		return nil, err
	}
	l := newListing(split)
	for _, e := range entries {
		kind, size, err := follow(in, e)
		if err != nil {
			return nil, err
		}
		if kind == kindFolder {
			l.skip("folder in a class folder", class+"/"+e.Name())
			continue
		}
		if l.takes(e.Name(), kind == kindFile || kind == kindBroken) {
			l.add(class, e.Name(), size, at(number, entryStamp(e)))
		}
	}
	if len(l.items) == 0 && isOutput(entries) {
		l.skips = nil
		l.skip("folder of records", class)
		return l, nil
	}
	if len(l.items) == 0 {
		return nil, &UnsupportedError{Path: in, Reason: l.emptyClass().Error(),
			Hint: "every class folder must hold an image: put some there, or remove the folder"}
	}
	l.packKeys()
	return l, nil
}

// isOutput says whether a folder without images is where ingest writes, or
// wrote, its records: with --src . they lie among the class folders, and are
// there when the job goes on. The hidden folder is the first thing that it makes
// and ends with the job; the file stays.
func isOutput(entries []fs.DirEntry) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() == ".ingest" && e.IsDir() || e.Name() == "ingest.json"
	})
}

// subfolders names the folders in dir that are not hidden.
func subfolders(t tree, dir string) ([]string, error) {
	entries, err := readFolder(t, dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			continue // without asking for its size
		}
		kind, _, err := follow(dir, e)
		if err != nil {
			return nil, err
		}
		if kind == kindFolder && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// notExist words a missing path.
func notExist(path string, err error) error {
	hint := "check that it may be read"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "give the folder that holds train/ and val/, or the ILSVRC2012 archives, or one archive"
	}
	return ioError(path, err, hint)
}
