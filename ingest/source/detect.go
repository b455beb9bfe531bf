package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	layout string   // one of the constants, not LayoutAuto
	parts  []part   // at most one a split, in the order train, val, test
	raster raster   // the set, where its pictures are raw pixels; then there are no parts
	homes  []string // the folders in which the devkit and other lists are looked for
	skips  []Skip
}

// allSplits in their order.
var allSplits = [...]string{Train, Val, Test} //nolint:gochecknoglobals // read only

// allLayouts that can be asked for.
var allLayouts = [...]string{ //nolint:gochecknoglobals // read only
	LayoutAuto, LayoutILSVRC, LayoutKaggle, LayoutFolder, LayoutCIFAR10, LayoutCIFAR100, LayoutMNIST,
}

// findRasters look into a folder for the sets of raw pixels; they name their
// layout whether or not it has one.
var findRasters = [...]func(t tree, dir string) (raster, string, error){cifar10.find, cifar100.find, findMNIST} //nolint:gochecknoglobals // read only

// detect decides from the names and first bytes of what lies at path.
func detect(ctx context.Context, t tree, path, layout string) (*plan, error) {
	layout = cmp.Or(layout, LayoutAuto)
	kind, _, err := t.stat(path)
	switch {
	case err != nil:
		return nil, notExist(path, err)
	case kind == kindFolder:
		return detectFolder(ctx, t, path, layout)
	case layout == LayoutFolder || layout == LayoutKaggle || layout == LayoutMNIST:
		return nil, &UnsupportedError{Path: path, Reason: "is a file, the layout " + layout + " needs a folder", Hint: "use --layout auto, or give the folder"}
	case kind != kindFile:
		return nil, &UnsupportedError{Path: path, Reason: "is neither a file nor a folder", Hint: "give a folder or a tar"}
	}
	return detectFile(ctx, t, path, layout)
}

// detectFile takes an archive.
func detectFile(ctx context.Context, t tree, file, layout string) (*plan, error) {
	name := filepath.Base(file)
	switch {
	case isDevkitName(name):
		return nil, devkitAlone(file)
	case isCIFARName(name) || isIdxName(name):
		return nil, &UnsupportedError{Path: file, Reason: "is one of the files of a set", Hint: "give the folder that holds it and the others"}
	}
	if layout != LayoutILSVRC {
		set, err := findCIFARArchive(ctx, t, file)
		if err != nil {
			return nil, err
		}
		switch {
		case set != nil && (layout == LayoutAuto || layout == set.layout):
			return &plan{layout: set.layout, raster: set}, nil
		case set != nil || layout != LayoutAuto:
			return nil, &UnsupportedError{Path: file, Reason: "is no archive of the layout " + layout, Hint: "use --layout auto"}
		}
	}
	split, err := probe(ctx, t, file)
	if err != nil {
		return nil, err
	}
	return &plan{layout: LayoutILSVRC, parts: []part{{split, file, true}}, homes: []string{t.dir(file)}}, nil
}

// detectFolder looks for what the layouts have in their folders. More than one
// set is an error: which of them is meant, only the user knows.
func detectFolder(ctx context.Context, t tree, dir, layout string) (*plan, error) {
	if layout == LayoutFolder {
		return plainPlan(dir), nil
	}
	wanted := func(l string) bool { return layout == LayoutAuto || layout == l }
	var found []*plan
	for _, find := range findRasters {
		set, l, err := find(t, dir)
		if err != nil && wanted(l) {
			return nil, err
		}
		if set != nil && wanted(l) {
			found = append(found, &plan{layout: l, raster: set})
		}
	}
	kaggle := false
	if wanted(LayoutKaggle) {
		splits, homes, err := findKaggle(t, dir)
		if err != nil {
			return nil, err
		}
		if kaggle = splits != ""; kaggle {
			p, err := planSplits(ctx, t, LayoutKaggle, splits, homes)
			if err != nil {
				return nil, err
			}
			found = append(found, p)
		}
	}
	if !kaggle && wanted(LayoutILSVRC) {
		p, err := planSplits(ctx, t, LayoutILSVRC, dir, []string{dir})
		if err != nil {
			return nil, err
		}
		if len(p.parts) > 0 {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return detectPlain(t, dir, layout)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, p := range found {
		names = append(names, p.layout)
	}
	return nil, &UnsupportedError{Path: dir, Reason: "holds more than one set (" + strings.Join(names, ", ") + ")",
		Hint: "give the folder of one, or choose with --layout"}
}

// planSplits looks in dir for train/, val/ and test/, and for archives of the
// splits that have no folder.
func planSplits(ctx context.Context, t tree, layout, dir string, homes []string) (*plan, error) {
	p := &plan{layout: layout, homes: homes}
	archives, err := findArchives(ctx, t, dir)
	if err != nil {
		return nil, err
	}
	for _, split := range allSplits {
		folder := t.join(dir, split)
		isThere := isFolder(t, folder)
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
	return p, nil
}

// plainPlan takes a folder of class folders.
func plainPlan(dir string) *plan {
	return &plan{layout: LayoutFolder, parts: []part{{split: Train, path: dir}}, homes: []string{dir}}
}

// detectPlain takes a folder of class folders, or says what is missing.
func detectPlain(t tree, dir, layout string) (*plan, error) {
	folders, err := subfolders(t, dir)
	if err != nil {
		return nil, err
	}
	if layout == LayoutAuto && len(folders) > 0 {
		return plainPlan(dir), nil
	}
	if deeper := deeperError(t, dir, folders); deeper != nil {
		return nil, deeper
	}
	entries, err := readFolder(t, dir)
	if err != nil {
		return nil, err
	}
	missing := &UnsupportedError{Path: dir, Reason: "holds neither train/ nor val/, nor the ILSVRC2012 archives, nor class folders",
		Hint: "give the folder that holds train/<wnid>/ and val/, or " + trainArchive + ", " + valArchive + " and " + devkitArchive}
	packed := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "imagenet_object_localization") })
	switch {
	case len(entries) == 0:
		missing.Reason = "is an empty folder"
	case slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return hasImageName(e.Name()) }):
		missing.Reason = "holds images, but no class folders that would label them"
	case packed >= 0:
		missing.Reason = "holds Kaggle's archive " + entries[packed].Name() + ", which is compressed and cannot be read in place"
		missing.Hint = "unpack it, and give the folder that then holds ILSVRC/ and " + solutionName
	case isPickledCIFAR(t, dir):
		missing.Reason, missing.Hint = pickledReason, pickledHint
	case layout == LayoutILSVRC:
		missing.Reason = "holds neither train/ nor val/, nor the ILSVRC2012 archives"
	}
	switch layout {
	case LayoutKaggle:
		missing.Reason, missing.Hint = "holds no "+kaggleFolders, "give the folder that holds ILSVRC/, "+solutionName+" and "+mappingName
	case LayoutCIFAR10:
		missing.Reason, missing.Hint = "holds no data_batch_1.bin and the like", "give the folder that holds them, or cifar-10-binary.tar.gz"
	case LayoutCIFAR100:
		missing.Reason, missing.Hint = "holds no train.bin and test.bin", "give the folder that holds them, or cifar-100-binary.tar.gz"
	case LayoutMNIST:
		missing.Reason, missing.Hint = "holds no train-images-idx3-ubyte and the like", "give the folder that holds the four files of the set"
	}
	return nil, missing
}

// deeperError says that a set seems to lie further down, in one of the folders,
// nil if none does.
func deeperError(t tree, dir string, folders []string) error {
	for _, name := range folders {
		below := t.join(dir, name)
		found := hasSplits(t, below) || hasSplits(t, t.join(below, kaggleFolders))
		for _, find := range findRasters {
			set, _, err := find(t, below)
			found = found || set != nil || err != nil
		}
		if found {
			return &UnsupportedError{Path: dir, Reason: "holds no images, they seem to lie deeper", Hint: "give " + below}
		}
		if isPickledCIFAR(t, below) {
			return &UnsupportedError{Path: below, Reason: pickledReason, Hint: pickledHint}
		}
	}
	return nil
}

// What to say of the version of CIFAR that is in Python's own format.
const (
	pickledReason = "holds CIFAR for Python, which is not read"
	pickledHint   = "take the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz"
)

// findArchives sorts the tars in dir by split. Where one has the official name,
// the others of its split go to those that are not needed, under "".
func findArchives(ctx context.Context, t tree, dir string) (map[string][]string, error) {
	entries, err := readFolder(t, dir)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, e := range entries {
		file := t.join(dir, e.Name())
		name := strings.ToLower(e.Name())
		if !strings.HasSuffix(name, ".tar") || name[0] == '.' || isDevkitName(name) || !isFile(t, file) {
			continue
		}
		split, err := probe(ctx, t, file)
		if err != nil {
			split = splitOfName(name) // "" for some other tar, none of ours
		}
		found[split] = append(found[split], file)
	}
	for _, split := range allSplits {
		official := slices.IndexFunc(found[split], func(file string) bool {
			return isOfficialArchive(file, split)
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
func probe(ctx context.Context, t tree, file string) (string, error) {
	f, err := openTar(t, file)
	if err != nil {
		return "", err
	}
	defer release(f)
	stop := errors.New("seen enough")
	split, members := "", 0
	err = scanTar(ctx, f.ReaderAt, f.id.Size, reachOf(f.ReaderAt), func(m member) error {
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
			Hint: "give " + trainArchive + ", " + valArchive + " or the folder that holds them"}
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
