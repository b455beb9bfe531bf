package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"alexnet/model"
	"alexnet/records"
)

// Classes returns the WNIDs of a data set's classes in the order of the labels.
func Classes(m *records.Manifest) []string {
	ids := make([]string, len(m.Classes))
	for i, c := range m.Classes {
		ids[i] = c.WNID
	}
	return ids
}

// Check returns a *MismatchError unless the checkpoint was made with this net,
// these records and these settings (anything that marshals to JSON).
func (c *Checkpoint) Check(net *model.Net, m *records.Manifest, settings any) error {
	const another = "to start another run name another folder"
	if err := c.CheckClasses(m); err != nil {
		return err
	}
	if d := differences(c.Net, net); len(d) > 0 {
		return &MismatchError{c.File, "net", d, "resume with the net that it was trained with, or " + another}
	}
	if c.Records != m.Digest {
		return &MismatchError{c.File, "records", []string{difference("digest", c.Records, m.Digest)},
			"resume with the records that it was trained on, or " + another}
	}
	if d := differences(c.Settings, settings); len(d) > 0 {
		return &MismatchError{c.File, "settings", d, "leave out these flags to resume with the run's own, or " + another}
	}
	return nil
}

// CheckClasses returns a *MismatchError unless the net was trained for the classes
// of these records, in their order.
func (c *Checkpoint) CheckClasses(m *records.Manifest) error {
	classes := Classes(m)
	if slices.Equal(c.Classes, classes) {
		return nil
	}
	var d []string
	if len(c.Classes) != len(classes) {
		d = append(d, fmt.Sprintf("%d classes in the checkpoint, %d here", len(c.Classes), len(classes)))
	}
	for i := range min(len(c.Classes), len(classes)) {
		if c.Classes[i] != classes[i] {
			d = append(d, difference(fmt.Sprintf("class %d", i), c.Classes[i], classes[i]))
		}
	}
	return &MismatchError{c.File, "classes", d, "use the records that it was trained on, or records of the same classes (ingest --classes)"}
}

// differences lists what differs between the JSON of a and of b.
func differences(a, b any) []string {
	var trees [2]any
	for i, v := range []any{a, b} {
		text, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(text, &trees[i])
		}
		if err != nil {
			return []string{fmt.Sprintf("not comparable: %v", err)}
		}
	}
	return walk(nil, "", trees[0], trees[1])
}

// walk compares two JSON trees and appends what differs below path.
func walk(out []string, path string, a, b any) []string {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			for _, key := range slices.Sorted(maps.Keys(union(a, b))) {
				out = walk(out, join(path, key), a[key], b[key])
			}
			return out
		}
	case []any:
		b, ok := b.([]any)
		if ok && len(a) == len(b) {
			for i := range a {
				out = walk(out, join(path, label(i, a[i])), a[i], b[i])
			}
			return out
		}
		if x, y := besides(a, b), besides(b, a); x != y {
			return append(out, difference(path, x, y))
		}
	}
	if x, y := show(a), show(b); x != y {
		out = append(out, difference(path, x, y))
	}
	return out
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// besides lists the names of the elements of a that b does not have.
func besides(a, b []any) string {
	var names []string
	for _, v := range a {
		if name := nameOf(v); name != "" && !slices.ContainsFunc(b, func(w any) bool { return nameOf(w) == name }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return show(nil)
	}
	return strings.Join(names, " ")
}

// nameOf returns the name of an element of a list, such as a layer's, or "".
func nameOf(element any) string {
	object, _ := element.(map[string]any)
	name, _ := object["name"].(string)
	return name
}

// label names an element of a list: layers have names, others their index.
func label(i int, element any) string {
	if name := nameOf(element); name != "" {
		return name
	}
	return fmt.Sprint(i)
}

// show writes a JSON value for a message.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return v
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); ok {
				return fmt.Sprintf("%d %s", len(v), "entries")
			}
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

func difference(what, a, b string) string {
	return fmt.Sprintf("%s: %s in the checkpoint, %s here", what, a, b)
}
