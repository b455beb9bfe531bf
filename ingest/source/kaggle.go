package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"alexnet/records"
)

// Kaggle's "ImageNet Object Localization Challenge" is ILSVRC 2012 in folders of
// its own, X/ILSVRC/Data/CLS-LOC/{train,val,test}, with lists beside ILSVRC/.
const (
	solutionName   = "LOC_val_solution.csv"
	mappingName    = "LOC_synset_mapping.txt"
	solutionHeader = "ImageId,PredictionString"
	kaggleFolders  = "ILSVRC/Data/CLS-LOC"
)

// findKaggle looks for Kaggle's folders at, below and around dir, and gives the
// folder of the splits and those where the lists may lie, X first. The splits
// are "" where there is nothing of the kind.
func findKaggle(t tree, dir string) (splits string, homes []string, err error) {
	names := strings.Split(kaggleFolders, "/")
	if !hasSplits(t, dir) {
		// dir is X, X/ILSVRC or X/ILSVRC/Data.
		for given := range names {
			below := t.join(dir, names[given:]...)
			if hasSplits(t, below) {
				homes, err = kaggleHomes(t, dir, names[:given])
				for i := range names[given:] {
					homes = append(homes, t.join(dir, names[given:given+i+1]...))
				}
				return below, homes, err
			}
		}
		return "", nil, nil
	}
	full, err := t.absolute(dir) // for "." and the like
	if err != nil {
		return "", nil, &IOError{File: dir, Err: cause(err), Hint: "give the whole path"}
	}
	switch {
	case filepath.Base(full) == names[len(names)-1]:
		homes, err = kaggleHomes(t, dir, names)
		return dir, homes, err
	case isFile(t, t.join(dir, solutionName)):
		return dir, []string{dir}, nil // the splits were moved to their list
	}
	return "", nil, nil
}

// kaggleHomes are dir and the folders above it as far as they have the names in
// above, the topmost first.
func kaggleHomes(t tree, dir string, above []string) ([]string, error) {
	homes := []string{dir}
	full, err := t.absolute(dir)
	if err != nil {
		return nil, &IOError{File: dir, Err: cause(err), Hint: "give the whole path"}
	}
	for _, name := range slices.Backward(above) {
		if filepath.Base(full) != name {
			break
		}
		full = t.dir(full)
		homes = append(homes, full)
	}
	slices.Reverse(homes)
	return homes, nil
}

// hasSplits says whether dir has a folder named as a split.
func hasSplits(t tree, dir string) bool {
	return slices.ContainsFunc(allSplits[:], func(split string) bool { return isFolder(t, t.join(dir, split)) })
}

// findFile returns the first of the folders' files of a name, "" if there is
// none.
func findFile(t tree, folders []string, name string) string {
	for _, dir := range folders {
		if file := t.join(dir, name); isFile(t, file) {
			return file
		}
	}
	return ""
}

// A solution is Kaggle's list of what the validation images show.
type solution struct {
	file string // where it was found
	of   map[string]solved
}

// solved is one line of it.
type solved struct {
	wnid string
	line int
}

// maxLine bounds a line of a list: an image may have hundreds of boxes.
const maxLine = 1 << 20

// readSolution reads a LOC_val_solution.csv.
func readSolution(t tree, file string) (*solution, error) {
	f, _, err := t.stream(file)
	if err != nil {
		return nil, ioError(file, err, "check that it may be read")
	}
	defer release(f)
	return parseSolution(f, file)
}

// parseSolution reads the lines of a LOC_val_solution.csv: a header, then one
// line an image in any order, such as
//
//	ILSVRC2012_val_00048981,n03995372 85 1 499 272 n03995372 12 8 60 90
//
// that is the image's name without extension, and a WNID with a box for each
// thing to find. The class is the first WNID: those of a line are the same.
func parseSolution(r io.Reader, file string) (*solution, error) {
	const hint = "take the file from Kaggle again"
	s := &solution{file: file, of: map[string]solved{}}
	wnids := map[string]string{} // one string for each, not one a line
	scanner := bufio.NewScanner(io.LimitReader(r, maxClassesBytes))
	scanner.Buffer(nil, maxLine)
	n := 0
	bad := func(format string, args ...any) error {
		return &MalformedError{File: file, Line: n, Cause: fmt.Errorf(format, args...), Hint: hint}
	}
	for scanner.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(scanner.Text(), "\ufeff"))
		if n == 1 {
			if line != solutionHeader {
				return nil, bad("%.40q is not the header %q", line, solutionHeader)
			}
			continue
		}
		if line == "" {
			continue
		}
		id, prediction, ok := strings.Cut(line, ",")
		wnid, _, _ := strings.Cut(prediction, " ")
		switch {
		case !ok || id == "":
			return nil, bad("%.40q is not an image, a comma and a WNID", line)
		case !isWNID(wnid):
			return nil, bad("%.40q does not begin with a WNID (n and eight digits)", prediction)
		}
		if first, twice := s.of[id]; twice {
			return nil, bad("%s is on line %d already", id, first.line)
		}
		if _, known := wnids[wnid]; !known {
			wnids[wnid] = strings.Clone(wnid)
		}
		s.of[strings.Clone(id)] = solved{wnids[wnid], n}
	}
	if err := scanner.Err(); err != nil {
		n++
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, bad("the line is too long")
		}
		return nil, ioError(file, err, "check the disk")
	}
	if len(s.of) == 0 {
		n = 0
		return nil, bad("lists no image")
	}
	return s, nil
}

// readMapping reads a LOC_synset_mapping.txt, which fixes the class list. Where
// its classes are the contest's 1,000, their words are the devkit's, so that all
// forms of ILSVRC 2012 give one class list.
func readMapping(t tree, file string) ([]records.Class, error) {
	classes, err := readClasses(t, file, "take the file from Kaggle again")
	if err != nil {
		return nil, err
	}
	official := len(classes) == len(officialSynsets())
	for _, c := range classes {
		official = official && c.ILSVRCID != 0
	}
	if official {
		return officialClasses(), nil
	}
	return classes, nil
}

// bySolution labels a flat validation split by Kaggle's list.
func (l *labeller) bySolution(p part, list *listing) error {
	for i := range list.items {
		it := &list.items[i]
		name := strings.TrimSuffix(it.Key, filepath.Ext(it.Key))
		s, ok := l.solution.of[name]
		if !ok {
			return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("%s is not in %s", it.Key, l.solution.file),
				Hint: "take " + solutionName + " from Kaggle again, or remove the image"}
		}
		label, known := l.index[s.wnid]
		if !known {
			return &MalformedError{File: l.solution.file, Line: s.line, Hint: l.hint,
				Cause: fmt.Errorf("%s is of class %s, which is not among the %d of %s", name, s.wnid, len(l.classes), l.listed)}
		}
		it.Label, it.ILSVRCID = label, l.classes[label].ILSVRCID
	}
	return nil
}
