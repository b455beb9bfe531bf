package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A part is a place where the images of one split lie.
type part struct {
	split   string
	path    string // a folder or a tar
	archive bool
}

// A plan is what Open will scan.
type plan struct {
	parts []part // at most one a split, in the order train, val, test
	home  string // the folder in which the devkit and lists of words are looked for
	plain bool   // one folder a class, no splits
	skips []Skip
}

// allSplits in their order.
var allSplits = [...]string{Train, Val, Test} //nolint:gochecknoglobals // read only

// detect decides from the names and first bytes of what lies at path.
func detect(ctx context.Context, path, layout string) (*plan, error) {
	if !slices.Contains([]string{"", LayoutAuto, LayoutILSVRC, LayoutFolder}, layout) {
		return nil, &UnsupportedError{Path: path, Reason: fmt.Sprintf("the layout %q is not known", layout),
			Hint: "use " + LayoutAuto + ", " + LayoutILSVRC + " or " + LayoutFolder}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, notExist(path, err)
	}
	switch {
	case info.IsDir() && layout == LayoutFolder:
		return &plan{parts: []part{{split: Train, path: path}}, home: path, plain: true}, nil
	case info.IsDir():
		return detectFolder(ctx, path, layout)
	case layout == LayoutFolder:
		return nil, &UnsupportedError{Path: path, Reason: "is a file, the layout folder needs a folder", Hint: "use --layout auto"}
	case !info.Mode().IsRegular():
		return nil, &UnsupportedError{Path: path, Reason: "is neither a file nor a folder", Hint: "give a folder or a tar"}
	case isDevkitName(filepath.Base(path)):
		return nil, devkitAlone(path)
	}
	split, err := probe(ctx, path)
	if err != nil {
		return nil, err
	}
	return &plan{parts: []part{{split, path, true}}, home: filepath.Dir(path)}, nil
}

// detectFolder looks for train/, val/ and test/, then for archives of the splits
// that have no folder, then for class folders.
func detectFolder(ctx context.Context, dir, layout string) (*plan, error) {
	p := &plan{home: dir}
	archives, err := findArchives(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, split := range allSplits {
		folder := filepath.Join(dir, split)
		isThere := isFolder(folder)
		if isThere {
			p.parts = append(p.parts, part{split: split, path: folder})
		}
		tars := archives[split]
		if !isThere && len(tars) > 1 {
			return nil, &UnsupportedError{Path: dir, Reason: fmt.Sprintf("holds %d archives of %s images: %s", len(tars), split, strings.Join(bases(tars), ", ")),
				Hint: "give one of them, or leave one in the folder"}
		}
		if !isThere && len(tars) == 1 {
			p.parts = append(p.parts, part{split, tars[0], true})
			tars = nil
		}
		for _, t := range tars {
			p.skips = addSkip(p.skips, Skip{Reason: "archive beside the unpacked " + split + "/", Count: 1, Examples: []string{filepath.Base(t)}})
		}
	}
	for _, t := range archives[""] {
		p.skips = addSkip(p.skips, Skip{Reason: "archive that is not needed", Count: 1, Examples: []string{filepath.Base(t)}})
	}
	if len(p.parts) > 0 {
		return p, nil
	}
	return detectPlain(p, layout)
}

// detectPlain takes a folder of class folders.
func detectPlain(p *plan, layout string) (*plan, error) {
	dir := p.home
	folders, err := subfolders(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range folders {
		for _, below := range []string{name, name + "/Data/CLS-LOC", "Data/CLS-LOC"} {
			at := filepath.Join(dir, filepath.FromSlash(below))
			if isFolder(filepath.Join(at, Train)) || isFolder(filepath.Join(at, Val)) {
				return nil, &UnsupportedError{Path: dir, Reason: "holds no images, they seem to lie deeper", Hint: "give " + at}
			}
		}
	}
	if layout != LayoutILSVRC && len(folders) > 0 {
		p.parts = []part{{split: Train, path: dir}}
		p.plain = true
		return p, nil
	}
	entries, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	reason := "holds neither train/ nor val/, nor the ILSVRC2012 archives, nor class folders"
	switch {
	case len(entries) == 0:
		reason = "is an empty folder"
	case slices.ContainsFunc(entries, func(e os.DirEntry) bool { return hasImageName(e.Name()) }):
		reason = "holds images, but no class folders that would label them"
	case layout == LayoutILSVRC:
		reason = "holds neither train/ nor val/, nor the ILSVRC2012 archives"
	}
	return nil, &UnsupportedError{Path: dir, Reason: reason,
		Hint: "give the folder that holds train/<wnid>/ and val/, or ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and " + devkitArchive}
}

// findArchives sorts the tars in dir by split. Where one has the official name,
// the others of its split go to those that are not needed, under "".
func findArchives(ctx context.Context, dir string) (map[string][]string, error) {
	entries, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		name := strings.ToLower(e.Name())
		if !strings.HasSuffix(name, ".tar") || name[0] == '.' || isDevkitName(name) || !isFile(file) {
			continue
		}
		split, err := probe(ctx, file)
		if err != nil {
			split = splitOfName(name) // "" for some other tar, none of ours
		}
		found[split] = append(found[split], file)
	}
	for _, split := range allSplits {
		official := slices.IndexFunc(found[split], func(file string) bool {
			return filepath.Base(file) == "ILSVRC2012_img_"+split+".tar"
		})
		if official >= 0 {
			one := found[split][official]
			found[""] = append(found[""], slices.Delete(found[split], official, official+1)...)
			found[split] = []string{one}
		}
	}
	return found, nil
}

// officialName matches the flat files of the validation and test splits.
var officialName = regexp.MustCompile(`^ILSVRC20\d\d_(val|test)_(\d{8})\.(?i:jpe?g|png)$`)

// splitOfName guesses the split from the name of an archive, "" if it tells
// nothing.
func splitOfName(name string) string {
	name = strings.ToLower(filepath.Base(name))
	for _, split := range allSplits {
		if strings.Contains(name, split) {
			return split
		}
	}
	return ""
}

// probe finds the split of an archive from its first file and its name: tars
// within are classes; flat images are of val or test.
func probe(ctx context.Context, file string) (string, error) {
	f, size, err := openTar(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	stop := errors.New("seen enough")
	split, members := "", 0
	err = scanTar(ctx, f, size, func(m member) error {
		members++
		base := path.Base(m.name)
		official := officialName.FindStringSubmatch(base)
		switch {
		case !m.plain || base[0] == '.':
			return nil
		case base == metaName || base == truthName:
			return devkitAlone(file)
		case official != nil:
			split = official[1]
		case strings.HasSuffix(base, ".tar") || hasImageName(base) && isWNID(path.Base(path.Dir(m.name))):
			if split = splitOfName(file); split == "" {
				split = Train
			}
		case hasImageName(base):
			if split = splitOfName(file); split == "" {
				split = Val
			}
		default:
			return nil
		}
		return stop
	})
	switch {
	case errors.Is(err, stop):
		return split, nil
	case err == nil:
		reason := "holds no images and no tars of images"
		if members == 0 {
			reason = "is an empty tar"
		}
		return "", &UnsupportedError{Path: file, Reason: reason,
			Hint: "give ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar or the folder that holds them"}
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	if u, ok := errors.AsType[*UnsupportedError](err); ok {
		return "", u
	}
	if errors.Is(err, errNoTar) {
		return "", &MalformedError{File: file, Cause: err,
			Hint: "give a folder, or one of the archives; if this is one, " + downloadHint(file)}
	}
	return "", archiveFault(file, "", err)
}

// devkitAlone says that a devkit is no source.
func devkitAlone(file string) error {
	return &UnsupportedError{Path: file, Reason: "is a devkit and holds no images", Hint: "give the folder that holds it and the archives of images"}
}

// bases are the last elements of paths.
func bases(paths []string) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}
