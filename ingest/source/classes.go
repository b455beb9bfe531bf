package source

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"alexnet/records"
)

// maxClassesBytes bounds a class list or a list of words.
const maxClassesBytes = 64 << 20

// A labeller knows the class list and gives items their labels.
type labeller struct {
	classes  []records.Class
	index    map[string]int32 // by WNID
	listed   string           // where the list is from, for messages
	hint     string           // what to do about a class that it lacks
	wnids    bool             // whether names of classes must be WNIDs
	kit      *devkit
	solution *solution // Kaggle's, nil where there is none
	tree     tree
	home     string // where Kaggle's lists belong, "" in other layouts
}

// classify makes the class list: that of the file if one is given, else Kaggle's
// if it has one, else the 1,000 of ILSVRC 2012 where its devkit or Kaggle's list
// is used, else the folders present.
func (s *opened) classify(lists []*listing, file string) (*labeller, error) {
	l := &labeller{kit: s.kit, tree: s.tree}
	var mapping string
	var err error
	if s.plan.layout == LayoutKaggle {
		l.home = s.plan.homes[0]
		mapping = findFile(s.tree, s.plan.homes, mappingName)
		if csv := findFile(s.tree, s.plan.homes, solutionName); csv != "" {
			if l.solution, err = readSolution(s.tree, csv); err != nil {
				return nil, err
			}
		}
	}
	whole := slices.ContainsFunc(lists, func(l *listing) bool { return l.whole })
	flatVal := slices.ContainsFunc(lists, func(l *listing) bool { return l.split == Val && !l.classed })
	switch {
	case file != "":
		l.listed, l.hint = file, "add it to the file, or leave --classes out"
		l.classes, err = readClasses(disk{}, file, "check the path given with --classes")
	case mapping != "":
		l.listed, l.hint = mapping, "add it to the file, or list the classes with --classes FILE"
		l.classes, err = readMapping(s.tree, mapping)
	case whole:
		l.listed = "the WNIDs present"
		l.hint = "list the classes with --classes FILE"
		l.classes, err = presentClasses(s.tree, lists, s.plan.homes, append([]string{allWords}, wordFiles...), flatVal)
	case s.kit.present() || l.solution != nil || officialUnlabelled(lists):
		l.listed, l.wnids = "ILSVRC2012", s.kit.present()
		l.hint = "remove the devkit and its ground truth if the set is another one, or list its classes with --classes FILE"
		l.classes = officialClasses()
	default:
		l.listed, l.hint = "the folders present", "list the classes with --classes FILE"
		l.classes, err = presentClasses(s.tree, lists, s.plan.homes, wordFiles, false)
	}
	if err != nil {
		return nil, err
	}
	l.index = make(map[string]int32, len(l.classes))
	for i, c := range l.classes {
		l.index[c.WNID] = int32(i)
	}
	s.classes, s.listed = l.classes, l.listed
	return l, nil
}

// officialClasses are the 1,000 of ILSVRC 2012.
func officialClasses() []records.Class {
	classes := make([]records.Class, 0, len(officialSynsets()))
	for _, y := range officialSynsets() {
		classes = append(classes, records.Class{WNID: y.WNID, ILSVRCID: y.ID, Words: y.Words})
	}
	return classes
}

// officialUnlabelled says whether there is nothing but flat files with the
// official names, so that no folder tells of classes.
func officialUnlabelled(lists []*listing) bool {
	return !slices.ContainsFunc(lists, func(l *listing) bool {
		return l.classed || !officialName.MatchString(l.items[0].Key)
	})
}

// presentClasses are the classes that the splits have, and the official 1,000 if
// these are wanted too, with their words where one of the files beside the
// source gives them.
func presentClasses(t tree, lists []*listing, homes, wordFiles []string, official bool) ([]records.Class, error) {
	names := map[string]bool{}
	if official {
		for _, y := range officialSynsets() {
			names[y.WNID] = true
		}
	}
	for _, l := range lists {
		last := ""
		for i := range l.items {
			if name := classOf(l.items[i].Key); l.classed && name != last {
				last = name
				names[name] = true
			}
		}
	}
	words, err := readWords(t, homes, wordFiles)
	if err != nil {
		return nil, err
	}
	classes := make([]records.Class, 0, len(names))
	for name := range names {
		classes = append(classes, knownClass(name, words[name]))
	}
	sortClasses(classes)
	return classes, nil
}

// knownClass adds the devkit's id and words to a WNID of the 1,000. Words that
// are given take precedence.
func knownClass(wnid, words string) records.Class {
	y, _ := officialByWNID(wnid)
	return records.Class{WNID: wnid, ILSVRCID: y.ID, Words: cmp.Or(words, y.Words)}
}

// sortClasses puts classes into the order of labels.
func sortClasses(classes []records.Class) {
	slices.SortFunc(classes, func(a, b records.Class) int { return strings.Compare(a.WNID, b.WNID) })
}

// readClasses reads a class file: a WNID a line, optionally followed by words.
// The hint says what to do where it cannot be read.
func readClasses(t tree, file, hint string) ([]records.Class, error) {
	f, _, err := t.stream(file)
	if err != nil {
		return nil, ioError(file, err, hint)
	}
	defer release(f)
	return parseClasses(f, file, hint)
}

// parseClasses reads the lines of a class file.
func parseClasses(r io.Reader, file, hint string) ([]records.Class, error) {
	var classes []records.Class
	lines := map[string]int{}
	scanner := bufio.NewScanner(io.LimitReader(r, maxClassesBytes))
	n := 0
	for scanner.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(scanner.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		if !utf8.ValidString(line) {
			return nil, &MalformedError{File: file, Line: n, Cause: fmt.Errorf("%.60q is not UTF-8", line), Hint: "save the file as UTF-8"}
		}
		name, words := cutWords(line)
		if strings.ContainsAny(name, "/\\") {
			return nil, &MalformedError{File: file, Line: n, Cause: fmt.Errorf("%q is no name of a class folder", name), Hint: "write one WNID a line"}
		}
		if first, twice := lines[name]; twice {
			return nil, &MalformedError{File: file, Line: n, Cause: fmt.Errorf("%s is on line %d already", name, first), Hint: "remove one of the two"}
		}
		lines[name] = n
		classes = append(classes, knownClass(name, words))
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, &MalformedError{File: file, Line: n + 1, Cause: errors.New("the line is too long"), Hint: "write one WNID a line"}
		}
		return nil, ioError(file, err, hint)
	}
	if len(classes) == 0 {
		return nil, &MalformedError{File: file, Cause: errors.New("lists no class"), Hint: "write one WNID a line"}
	}
	sortClasses(classes)
	return classes, nil
}

// cutWords splits a line at its first blank or tab.
func cutWords(line string) (name, words string) {
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}

// wordFiles are lists of WNIDs and words as Caffe and Kaggle name them. They add
// words to classes that the embedded table lacks; they do not fix the list.
var wordFiles = []string{"synset_words.txt", mappingName} //nolint:gochecknoglobals // read only

// allWords is ImageNet's own, of all WNIDs. It is looked for beside a whole
// ImageNet only, as other files may have such a name.
const allWords = "words.txt"

// readWords reads the words of classes beside the source, if they are there.
func readWords(t tree, homes, wordFiles []string) (map[string]string, error) {
	for _, name := range wordFiles {
		file := findFile(t, homes, name)
		if file == "" {
			continue
		}
		classes, err := readClasses(t, file, "check that it may be read, or remove it")
		if err != nil {
			return nil, err
		}
		words := make(map[string]string, len(classes))
		for _, c := range classes {
			words[c.WNID] = c.Words
		}
		return words, nil
	}
	return nil, nil
}

// split labels the items of a split.
func (l *labeller) split(p part, list *listing) error {
	switch {
	case list.classed:
		return l.byFolder(p, list)
	case p.split == Train:
		return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("holds images (%s) but no tars or folders of classes, so they have no labels", list.items[0].Key),
			Hint: "a training archive is a tar of one tar a class, named by its WNID"}
	case p.split == Val && l.solution != nil:
		return l.bySolution(p, list)
	case p.split == Val:
		return l.byTruth(p, list)
	case len(l.classes) == 0:
		return &UnsupportedError{Path: p.path, Reason: "holds unlabelled images only, and no class list goes with them",
			Hint: "add train/ or val/, or list the classes with --classes FILE"}
	}
	return nil // a flat test split is unlabelled
}

// byFolder labels items by the class in their keys.
func (l *labeller) byFolder(p part, list *listing) error {
	last, label := "", int32(-1)
	for i := range list.items {
		it := &list.items[i]
		name, _, ok := strings.Cut(it.Key, "/")
		if !ok {
			return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("holds images in class folders and outside (%s)", it.Key),
				Hint: "keep either one folder a class, or images only"}
		}
		if name != last {
			n, known := l.index[name]
			if !known {
				return l.unknown(p, name)
			}
			last, label = name, n
		}
		it.Label, it.ILSVRCID = label, l.classes[label].ILSVRCID
	}
	return nil
}

// unknown says that a class is not in the list.
func (l *labeller) unknown(p part, name string) error {
	if l.wnids && !isWNID(name) {
		return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("%q is no WNID (n and eight digits), as class names must be where ILSVRC2012's devkit labels", name),
			Hint: l.hint}
	}
	return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("the class %s is not among the %d of %s", name, len(l.classes), l.listed), Hint: l.hint}
}

// byTruth labels a flat validation split: the number in an image's name is the
// line of the ground truth, and the line holds a devkit id, not a label.
func (l *labeller) byTruth(p part, list *listing) error {
	if l.home != "" && l.kit.truthFile == "" {
		return &UnsupportedError{Path: p.path, Reason: "is a flat validation set, and the list that labels it is missing",
			Hint: fmt.Sprintf("put %s, which Kaggle has beside ILSVRC/, into %s", solutionName, l.home)}
	}
	if l.kit.truthFile == "" {
		return &UnsupportedError{Path: p.path, Reason: "is a flat validation set, and the ground truth that labels it is missing",
			Hint: fmt.Sprintf("put %s or %s into %s, or sort the images into val/<wnid>/", devkitArchive, truthName, l.tree.dir(p.path))}
	}
	for i := range list.items {
		it := &list.items[i]
		match := officialName.FindStringSubmatch(it.Key)
		if match == nil {
			return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("%s has no number that the ground truth could label", it.Key),
				Hint: "name validation images ILSVRC2012_val_NNNNNNNN.JPEG, or sort them into val/<wnid>/"}
		}
		n, err := strconv.Atoi(match[2])
		if err != nil || n < 1 || n > len(l.kit.truth) {
			return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("%s has the number %d, the ground truth %s has %d lines", it.Key, n, l.kit.truthFile, len(l.kit.truth)),
				Hint: "take the ground truth from " + devkitArchive}
		}
		id := l.kit.truth[n-1]
		synset, _ := officialByID(id)
		label, known := l.index[synset.WNID]
		if !known {
			return &UnsupportedError{Path: p.path, Reason: fmt.Sprintf("%s is of class %s (devkit id %d), which is not among the %d of %s", it.Key, synset.WNID, id, len(l.classes), l.listed),
				Hint: l.hint}
		}
		it.Label, it.ILSVRCID = label, id
	}
	return nil
}
