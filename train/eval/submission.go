package eval

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"

	"alexnet/records"
)

// SubmissionError says why predictions cannot be written in ILSVRC's format.
type SubmissionError struct {
	Reason string
	Hint   string
}

// Error says the reason and what to do.
func (e *SubmissionError) Error() string {
	return "it cannot be a submission to ILSVRC: " + e.Reason + "; " + e.Hint
}

// asLines is what to do without a submission.
const asLines = "name the file *.jsonl to write JSON lines"

// official matches the names of ILSVRC's validation and test images.
var official = regexp.MustCompile(`^ILSVRC20\d\d_(?:val|test)_(\d{8})\.`)

// A submission to ILSVRC (the readme of its development kit, "Submission format")
// has a line an image, in the alphabetical order of the names
// ILSVRC2012_test_00000001.JPEG and so on, which is that of their numbers: line N
// answers for image N. A line holds at most five ILSVRC2012_IDs, from 1 to 1000,
// the most probable first.
//
// Where numbers are within 1 to the number of pictures that the split was made of,
// it is taken for a whole one: a line for each of them, and one for which there is
// no record, since its picture was rejected or is damaged now, is not there or, with
// fill, holds the one id 1, an answer that is right once in a thousand times. Of a
// part of ILSVRC, such as some classes of its validation images, there is a line for
// each record.
type submission struct {
	ids    []uint16 // the ILSVRC id of each class
	line   []int32  // of each row, -1 for none
	number []int32  // of each line: the image's
	answer [][Guesses]uint16
	part   bool // the numbers are not 1 to the number of lines
	lost   int  // of a part: images that are not in the records
	blank  int  // lines without an answer, after write
	first  int  // the number of the first of them
}

// newSubmission finds the line of each row.
func newSubmission(ds *records.Dataset, split *records.Split, fill bool) (*submission, error) {
	s := &submission{}
	for _, c := range ds.Manifest.Classes {
		if c.ILSVRCID < 1 || c.ILSVRCID > 1000 {
			return nil, &SubmissionError{fmt.Sprintf("the class %s has no number from 1 to 1000 in its development kit", c.WNID), asLines}
		}
		s.ids = append(s.ids, uint16(c.ILSVRCID))
	}
	numbers, err := numbersOf(split, fill)
	if err != nil {
		return nil, err
	}
	known := slices.DeleteFunc(slices.Clone(numbers), func(n int32) bool { return n < 0 })
	slices.Sort(known)
	for i := 1; i < len(known); i++ {
		if known[i] == known[i-1] {
			return nil, &SubmissionError{fmt.Sprintf("two images of split %s have the number %d", split.Name(), known[i]), asLines}
		}
	}
	all := ds.Manifest.Splits[split.Name()].Seen
	s.part = len(known) == 0 || int(known[len(known)-1]) > all
	if s.number, s.lost = known, all-len(known); !s.part {
		s.number = make([]int32, all)
		for i := range s.number {
			s.number[i] = int32(i + 1)
		}
	}
	if missing := len(s.number) - len(known); missing > 0 && !fill {
		at := 0
		for at < len(known) && known[at] == s.number[at] {
			at++
		}
		return nil, &SubmissionError{fmt.Sprintf("%d of the %d images of split %s are not in the records (ingest has rejected them), number %d first, and each needs a line",
			missing, all, split.Name(), at+1), asLines + ", or give --on-corrupt skip, which answers 1 for them"}
	}
	s.line = make([]int32, len(numbers))
	for row, n := range numbers {
		at, found := slices.BinarySearch(s.number, n)
		if s.line[row] = int32(at); !found {
			s.line[row] = -1
		}
	}
	s.answer = make([][Guesses]uint16, len(s.number))
	return s, nil
}

// numbersOf returns the numbers in the images' names, in the order of the rows. With
// lenient, those of rows that cannot be read are -1.
func numbersOf(split *records.Split, lenient bool) ([]int32, error) {
	numbers := make([]int32, split.Len())
	for row := range numbers {
		key, err := split.Key(row)
		if err != nil && lenient && records.IsDamage(err) {
			numbers[row] = -1
			continue
		}
		if err != nil {
			return nil, err
		}
		match := official.FindStringSubmatch(path.Base(key))
		if match == nil {
			return nil, &SubmissionError{fmt.Sprintf("its lines are in the order of the numbers in names like ILSVRC2012_val_00000001.JPEG, and split %s has %.80q", split.Name(), key), asLines}
		}
		n, err := strconv.ParseInt(match[1], 10, 32)
		if err != nil {
			return nil, &SubmissionError{fmt.Sprintf("the number of %.80q: %v", key, err), asLines}
		}
		numbers[row] = int32(n)
	}
	return numbers, nil
}

// add keeps the ids of a prediction.
func (s *submission) add(q Prediction) {
	line := s.line[q.Row]
	if line < 0 {
		return // a broken shard that can be read now: the line is blank
	}
	for i, c := range q.Classes {
		s.answer[line][i] = s.ids[c]
	}
}

// write writes the lines and returns their number.
func (s *submission) write(w io.Writer) (lines int, err error) {
	var text []byte
	for i, ids := range s.answer {
		text = text[:0]
		for _, id := range ids {
			if id > 0 {
				text = strconv.AppendUint(append(text, ' '), uint64(id), 10)
			}
		}
		if len(text) == 0 {
			text = append(text, " 1"...)
			if s.blank++; s.blank == 1 {
				s.first = int(s.number[i])
			}
		}
		if _, err := w.Write(append(text[1:], '\n')); err != nil {
			return i, err
		}
	}
	return len(s.answer), nil
}

// warnings says what is unusual in what was written.
func (s *submission) warnings() (list []string) {
	if s.part {
		text := fmt.Sprintf("the split is a part of ILSVRC's: the lines are in the order of the images' numbers, which are not 1 to %d", len(s.number))
		if s.lost > 0 {
			text += fmt.Sprintf("; images without a line, since they are not in the records or cannot be read: %d", s.lost)
		}
		list = append(list, text)
	}
	if s.blank > 0 {
		list = append(list, fmt.Sprintf("lines that answer 1 for images that are missing or damaged: %d, that of image %d first", s.blank, s.first))
	}
	return list
}
