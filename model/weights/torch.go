package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"alexnet/model"
)

const torchFormat = "PyTorch file"

// Since PyTorch 1.6 a file of torch.save is a zip archive whose files are stored
// as they are: NAME/data.pkl, the pickle of the object with references to storages;
// NAME/data/KEY, the bytes of a storage; NAME/version; and, in newer ones,
// NAME/byteorder. https://pytorch.org/docs/stable/notes/serialization.html

// maxShared is how many times the values of a file the tensors in it may have:
// tensors can share their storages, and a small file could promise any amount.
const maxShared = 4

// magicLegacy begins the pickle that begins files of PyTorch before 1.6: protocol
// 2, and the integer 0x1950a86a20f9469cfc6c.
const magicLegacy = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

// ReadTorch reads the tensors of a state dict from a file of size bytes that
// torch.save wrote: a dict of names to float, half, bfloat16 or double tensors, or
// a dict that has such a one under "state_dict"; the prefix "module." of
// DataParallel is dropped. Tensors are returned in the order of the dict, as
// float32, with strides and offsets resolved. Nothing in the file is executed. It
// returns a *FormatError, an *UnsupportedError, or what the reader returned.
func ReadTorch(r io.ReaderAt, size int64) ([]model.Tensor, error) {
	z, err := openTorch(r, size)
	if err != nil {
		return nil, err
	}
	program, err := z.read("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	root, err := unpickle(program)
	if err != nil {
		return nil, err
	}
	refs, names, err := stateDict(root)
	if err != nil {
		return nil, err
	}
	return z.tensors(names, refs)
}

// archive is the zip archive, the name in front of its files removed.
type archive struct {
	size  int64
	files map[string]*zip.File
}

func openTorch(r io.ReaderAt, size int64) (*archive, error) {
	start := make([]byte, len(magicLegacy))
	if n, err := r.ReadAt(start, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read PyTorch file: %w", err)
	} else if start = start[:n]; string(start) == magicLegacy {
		return nil, &UnsupportedError{Format: torchFormat, Problem: "it has the format before PyTorch 1.6; " +
			"write it again with torch.save(torch.load(FILE), NEW) in a newer PyTorch"}
	}
	if !bytes.HasPrefix(start, []byte("PK")) {
		return nil, &FormatError{Format: torchFormat, Problem: "it is not a zip archive, as torch.save writes"}
	}
	zr, err := zip.NewReader(r, size)
	if err != nil {
		if errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &FormatError{Format: torchFormat, Problem: "the zip archive is damaged or cut short", Err: err}
		}
		return nil, fmt.Errorf("read PyTorch file: %w", err)
	}
	root := ""
	for _, f := range zr.File {
		if path.Base(f.Name) == "data.pkl" && strings.Count(f.Name, "/") == 1 {
			root = strings.TrimSuffix(f.Name, "data.pkl")
		}
	}
	if root == "" {
		return nil, &FormatError{Format: torchFormat, Problem: "the zip archive has no NAME/data.pkl: torch.save did not write it"}
	}
	a := &archive{size: size, files: make(map[string]*zip.File, len(zr.File))}
	for _, f := range zr.File {
		name, ok := strings.CutPrefix(f.Name, root)
		if !ok {
			continue
		}
		if a.files[name] != nil {
			return nil, &FormatError{Format: torchFormat, Where: f.Name, Problem: "the zip archive has this file twice"}
		}
		a.files[name] = f
	}
	if a.files["byteorder"] != nil {
		if order, err := a.read("byteorder", 16); err != nil {
			return nil, err
		} else if string(order) != "little" {
			return nil, &UnsupportedError{Format: torchFormat, Problem: fmt.Sprintf("the byte order is %q; only little is read", order)}
		}
	}
	return a, nil
}

// read returns a stored file of at most limit bytes, its checksum checked.
func (a *archive) read(name string, limit uint64) ([]byte, error) {
	f := a.files[name]
	switch {
	case f == nil:
		return nil, &FormatError{Format: torchFormat, Where: name, Problem: "the zip archive lacks this file"}
	case f.Method != zip.Store:
		return nil, &UnsupportedError{Format: torchFormat, Where: name, Problem: "it is compressed, which torch.save does not do"}
	case f.UncompressedSize64 > uint64(a.size):
		return nil, &FormatError{Format: torchFormat, Where: name, Problem: fmt.Sprintf("it promises %d bytes, more than the whole archive has", f.UncompressedSize64)}
	case f.UncompressedSize64 > limit:
		return nil, &FormatError{Format: torchFormat, Where: name, Problem: fmt.Sprintf("it has %d bytes; %d are expected at most", f.UncompressedSize64, limit)}
	}
	r, err := f.Open()
	if err != nil {
		return nil, &FormatError{Format: torchFormat, Where: name, Problem: "the zip archive is damaged", Err: err}
	}
	defer func() { _ = r.Close() }() // was only read
	data := make([]byte, f.UncompressedSize64)
	_, err = io.ReadFull(r, data)
	if err == nil {
		if _, err = r.Read(make([]byte, 1)); errors.Is(err, io.EOF) { // which is where the checksum is compared
			return data, nil
		}
	}
	if err == nil || errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrFormat) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &FormatError{Format: torchFormat, Where: name, Problem: "it is damaged or cut short", Err: err}
	}
	return nil, fmt.Errorf("read %s of PyTorch file: %w", name, err)
}

// stateDict finds the tensors in what was pickled.
func stateDict(root any) ([]*tensorRef, []string, error) {
	d, ok := root.(*dict)
	if ok {
		if inner, ok := d.get("state_dict").(*dict); ok {
			d = inner
		}
	}
	if d == nil {
		return nil, nil, &UnsupportedError{Format: torchFormat, Problem: "it holds no state dict; save model.state_dict()"}
	}
	var refs []*tensorRef
	var names []string
	seen := make(map[string]bool)
	for i, name := range d.keys {
		ref, ok := d.values[i].(*tensorRef)
		if !ok {
			return nil, nil, &UnsupportedError{Format: torchFormat, Where: fmt.Sprintf("%q", name), Problem: "it is not a tensor; save model.state_dict()"}
		}
		name = strings.TrimPrefix(name, "module.")
		if name == "" || seen[name] {
			return nil, nil, &FormatError{Format: torchFormat, Where: fmt.Sprintf("%q", name), Problem: "the name is empty or used twice"}
		}
		seen[name] = true
		refs, names = append(refs, ref), append(names, name)
	}
	if len(refs) == 0 || d.other > 0 {
		return nil, nil, &UnsupportedError{Format: torchFormat, Problem: "it is not a dict of names to tensors; save model.state_dict()"}
	}
	return refs, names, nil
}

// tensors reads the storages one after the other, each once, and the tensors that
// lie in it.
func (a *archive) tensors(names []string, refs []*tensorRef) ([]model.Tensor, error) {
	var total int64
	for i, ref := range refs {
		if err := ref.check(); err != nil {
			err.Where = fmt.Sprintf("tensor %q", names[i])
			return nil, err
		}
		n, _ := volume(ref.shape)
		if total += int64(n) * int64(storageBytes(ref.storage.kind)); total > maxShared*a.size {
			return nil, &UnsupportedError{Format: torchFormat, Where: fmt.Sprintf("tensor %q", names[i]),
				Problem: fmt.Sprintf("the tensors have more than %d times the bytes of the file", maxShared)}
		}
	}
	sharing := make(map[string][]int) // tensors by the key of their storage
	for i, ref := range refs {
		sharing[ref.storage.key] = append(sharing[ref.storage.key], i)
	}
	ts := make([]model.Tensor, len(refs))
	for i, ref := range refs {
		if ts[i].Name != "" {
			continue // its storage came with an earlier tensor
		}
		data, err := a.storage(ref.storage)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", names[i], err)
		}
		for _, j := range sharing[ref.storage.key] {
			if *refs[j].storage != *ref.storage {
				return nil, &FormatError{Format: torchFormat, Where: fmt.Sprintf("tensor %q", names[j]),
					Problem: fmt.Sprintf("it takes the storage %s of tensor %q for another type or size", ref.storage.key, names[i])}
			}
			ts[j] = model.Tensor{Name: names[j], Shape: ints(refs[j].shape), Data: refs[j].values(data)}
		}
	}
	return ts, nil
}

// storage returns the bytes of a storage.
func (a *archive) storage(s *storage) ([]byte, error) {
	want := uint64(s.size) * uint64(storageBytes(s.kind))
	where := "data/" + s.key
	data, err := a.read(where, want)
	if err == nil && uint64(len(data)) != want {
		err = &FormatError{Format: torchFormat, Where: where, Problem: fmt.Sprintf("%d bytes for a storage of %d", len(data), want)}
	}
	return data, err
}

// check makes sure that a tensor lies within its storage and does not have more
// values than that.
func (r *tensorRef) check() *FormatError {
	bad := func(problem string) *FormatError {
		return &FormatError{Format: torchFormat, Problem: fmt.Sprintf("%s: sizes %v, strides %v, offset %d in a storage of %d values",
			problem, r.shape, r.strides, r.offset, r.storage.size)}
	}
	n, ok := volume(r.shape)
	if !ok {
		return bad("negative or too large")
	}
	if r.offset < 0 || r.offset > r.storage.size {
		return bad("it lies outside of its storage")
	}
	if n == 0 {
		return nil
	}
	if int64(n) > r.storage.size {
		return bad("it repeats values of its storage (save a contiguous copy)")
	}
	last := r.offset
	for i, d := range r.shape {
		s := r.strides[i]
		if s < 0 || s > maxValues {
			return bad("a stride is negative or too large")
		}
		last += (d - 1) * s // at most 2^28 * 2^28, eight times
	}
	if last < 0 || last >= r.storage.size {
		return bad("it lies outside of its storage")
	}
	return nil
}

// values reads the tensor, which has been checked, out of the storage's bytes.
func (r *tensorRef) values(data []byte) []float32 {
	n, _ := volume(r.shape)
	out := make([]float32, 0, n)
	if n == 0 {
		return out
	}
	convert := r.storage.converter()
	size := int64(storageBytes(r.storage.kind))
	index := make([]int64, len(r.shape))
	at := r.offset
	for {
		out = append(out, convert(data[at*size:]))
		d := len(index) - 1
		for ; d >= 0; d-- {
			at += r.strides[d]
			if index[d]++; index[d] < r.shape[d] {
				break
			}
			at -= index[d] * r.strides[d]
			index[d] = 0
		}
		if d < 0 {
			return out
		}
	}
}

// converter returns what makes a float32 of the first bytes. A double that is too
// large for a float32 becomes infinite, as in PyTorch.
func (s *storage) converter() func([]byte) float32 {
	le := binary.LittleEndian
	switch s.kind {
	case "torch.DoubleStorage":
		return func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }
	case "torch.HalfStorage":
		return func(b []byte) float32 { return model.FromHalf(le.Uint16(b)) }
	case "torch.BFloat16Storage":
		return func(b []byte) float32 { return math.Float32frombits(uint32(le.Uint16(b)) << 16) }
	default:
		return func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }
	}
}
