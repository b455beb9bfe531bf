//go:build (linux || darwin) && (amd64 || arm64) && !static

package decode

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Constants of turbojpeg.h, the same in all releases.
const (
	tjInitDecompress = 1 // of tj3Init

	tjRGB, tjGray, tjCMYK = 0, 6, 11 // pixel formats

	tjColorGray, tjColorCMYK, tjColorYCCK = 2, 3, 4 // colour spaces of a JPEG

	tjFlagLimitScans = 32768

	tjParamWidth, tjParamHeight, tjParamColorspace, tjParamScanLimit = 5, 6, 8, 13

	tjWarning = 0 // an error code
)

// turbo is a loaded libjpeg-turbo. The functions of release 3 are used where
// they are, those of 2 otherwise; both give the same pixels.
type turbo struct {
	three bool   // has the functions of release 3
	file  string // as the loader found it

	initDecompress, destroy, header, decompress uintptr
	get, set, setScale                          uintptr // of release 3
	errorCode                                   uintptr

	errorText func(handle uintptr) string
}

// turboPaths returns where libjpeg-turbo may be found.
func turboPaths() []string {
	if runtime.GOOS == "darwin" {
		paths := []string{"libturbojpeg.0.dylib", "libturbojpeg.dylib"}
		for _, dir := range []string{"/opt/homebrew/opt/jpeg-turbo/lib", "/opt/homebrew/lib", "/usr/local/opt/jpeg-turbo/lib", "/usr/local/lib", "/opt/local/lib", "/opt/libjpeg-turbo/lib"} {
			paths = append(paths, dir+"/libturbojpeg.0.dylib", dir+"/libturbojpeg.dylib")
		}
		return paths
	}
	return []string{
		"libturbojpeg.so.0", "libturbojpeg.so",
		"/usr/local/lib/libturbojpeg.so.0", "/opt/libjpeg-turbo/lib64/libturbojpeg.so.0",
	}
}

// openTurbo loads the library and looks its functions up.
func openTurbo(path string) (*turbo, error) {
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	t := &turbo{}
	type entry struct {
		to   *uintptr
		name string
	}
	var text uintptr
	threes := []entry{
		{&t.initDecompress, "tj3Init"}, {&t.destroy, "tj3Destroy"}, {&t.header, "tj3DecompressHeader"},
		{&t.decompress, "tj3Decompress8"}, {&t.get, "tj3Get"}, {&t.set, "tj3Set"},
		{&t.setScale, "tj3SetScalingFactor"}, {&t.errorCode, "tj3GetErrorCode"}, {&text, "tj3GetErrorStr"},
	}
	twos := []entry{
		{&t.initDecompress, "tjInitDecompress"}, {&t.destroy, "tjDestroy"}, {&t.header, "tjDecompressHeader3"},
		{&t.decompress, "tjDecompress2"}, {&t.errorCode, "tjGetErrorCode"}, {&text, "tjGetErrorStr2"},
	}
	look := func(entries []entry) (err error) {
		for _, e := range entries {
			if *e.to, err = purego.Dlsym(lib, e.name); err != nil {
				return err
			}
		}
		return nil
	}
	t.three = look(threes) == nil
	if !t.three {
		if err := look(twos); err != nil {
			_ = purego.Dlclose(lib) // the other error says more
			return nil, fmt.Errorf("%s is not TurboJPEG 2.0 or later: %w", path, err)
		}
	}
	purego.RegisterFunc(&t.errorText, text)
	t.file = fileOf(t.decompress)
	return t, nil
}

// fileOf returns which file the loader has taken the function from, "" if it
// does not tell.
func fileOf(function uintptr) string {
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "dladdr")
	if err != nil {
		return ""
	}
	// Dl_info of dlfcn.h: the file, where it begins, a name, where that is.
	var info struct {
		file *byte
		_    [3]uintptr
	}
	var dladdr func(address uintptr, info unsafe.Pointer) int32
	purego.RegisterFunc(&dladdr, address)
	if dladdr(function, unsafe.Pointer(&info)) == 0 || info.file == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(info.file), n)) != 0 {
		n++
	}
	file := string(unsafe.Slice(info.file, n))
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	return file
}

// name says which release this is. No function tells, but the file holds the
// line that jpeg programs show for -verbose. What is not found is not said.
func (t *turbo) name() string {
	name := "libjpeg-turbo"
	content, err := os.ReadFile(t.file)
	for _, maker := range []string{"libjpeg-turbo", "mozjpeg"} {
		if _, line, ok := bytes.Cut(content, []byte(maker+" version ")); ok && err == nil {
			release := bytes.TrimRight(line[:len(line)-len(bytes.TrimLeft(line, "0123456789."))], ".")
			if len(release) > 0 {
				name = maker + " " + string(release)
				break
			}
		}
	}
	if t.file != "" {
		name += " (" + filepath.Base(t.file) + ")"
	}
	return name
}

// turboHandle is a decompressor of libjpeg-turbo. It belongs to one Decoder.
type turboHandle struct {
	lib     *turbo
	handle  uintptr
	cleanup runtime.Cleanup
	scaled  int      // what the handle divides by, of release 3
	found   [4]int32 // what the header says: width, height, subsampling, colour space

	pinner runtime.Pinner
	args   [9]uintptr // of a call, here because the runtime would allocate them for each
}

// call calls a function of the library whose first argument is the handle and
// whose result is an int. Memory of Go that it is given must be pinned.
func (h *turboHandle) call(function uintptr, args ...uintptr) int {
	h.args[0] = h.handle
	n := copy(h.args[1:], args)
	rc, _, _ := purego.SyscallN(function, h.args[:n+1]...)
	runtime.KeepAlive(h) // the collector frees the handle
	return int(int32(rc))
}

// pin keeps what p points to where it is until unpin, and returns its address.
func (h *turboHandle) pin(p unsafe.Pointer) uintptr {
	h.pinner.Pin(p)
	return uintptr(p)
}

// handleFor returns a handle of the library, which is made for the first
// picture and whenever the last one may have left it in disorder.
func (d *Decoder) handleFor(t *turbo) (*turboHandle, error) {
	if d.turbo != nil && d.turbo.lib == t {
		return d.turbo, nil
	}
	d.dropHandle()
	handle, _, _ := purego.SyscallN(t.initDecompress, tjInitDecompress)
	if handle == 0 {
		return nil, &Error{TooLarge, fmt.Errorf("libjpeg-turbo has no memory for a decompressor")}
	}
	h := &turboHandle{lib: t, handle: handle, scaled: 1}
	if t.three {
		h.call(t.set, tjParamScanLimit, scanLimit)
	}
	destroy := t.destroy
	h.cleanup = runtime.AddCleanup(h, func(handle uintptr) { purego.SyscallN(destroy, handle) }, handle)
	d.turbo = h
	return h, nil
}

// dropHandle frees the handle at once.
func (d *Decoder) dropHandle() {
	if h := d.turbo; h != nil {
		h.cleanup.Stop()
		purego.SyscallN(h.lib.destroy, h.handle)
		runtime.KeepAlive(h)
		d.turbo = nil
	}
}

// readHeader has the library read the header: the size and the colour space,
// which it tells from markers and component numbers by rules of its own. It
// says whether they could be told.
func (h *turboHandle) readHeader(data []byte) (w, ht, colorspace int, ok bool) {
	t := h.lib
	defer h.pinner.Unpin()
	file := h.pin(unsafe.Pointer(unsafe.SliceData(data)))
	if !t.three {
		// An unknown subsampling is an error here and none for decompression,
		// so what counts is what has been filled in.
		h.found = [4]int32{0, 0, -1, -1}
		found := h.pin(unsafe.Pointer(&h.found))
		h.call(t.header, file, uintptr(len(data)), found, found+4, found+8, found+12)
		w, ht, colorspace = int(h.found[0]), int(h.found[1]), int(h.found[3])
	} else {
		if h.call(t.header, file, uintptr(len(data))) != 0 && h.call(t.errorCode) != tjWarning {
			return 0, 0, 0, false
		}
		w, ht, colorspace = h.call(t.get, tjParamWidth), h.call(t.get, tjParamHeight), h.call(t.get, tjParamColorspace)
	}
	return w, ht, colorspace, w > 0 && ht > 0 && colorspace >= 0
}

// read decompresses the picture that readHeader has seen, divided by p.reduce,
// to pix, which has p.toW x p.toH pixels of the format and so many bytes each.
// It returns whether the library is content.
func (h *turboHandle) read(data, pix []uint8, p *plan, format, each int) bool {
	t := h.lib
	pitch := p.toW * each
	if len(pix) < pitch*p.toH {
		panic("decode: less room for pixels than libjpeg-turbo will write")
	}
	defer h.pinner.Unpin()
	file, to := h.pin(unsafe.Pointer(unsafe.SliceData(data))), h.pin(unsafe.Pointer(unsafe.SliceData(pix)))
	if !t.three {
		return h.call(t.decompress, file, uintptr(len(data)), to, uintptr(p.toW), uintptr(pitch), uintptr(p.toH), uintptr(format), tjFlagLimitScans) == 0
	}
	if h.scaled != p.reduce {
		// A struct of two ints, which travels in one register.
		h.call(t.setScale, 1|uintptr(p.reduce)<<32)
		h.scaled = p.reduce
	}
	return h.call(t.decompress, file, uintptr(len(data)), to, uintptr(pitch), uintptr(format)) == 0
}

// complaint returns the text of the last failure, and whether it was only a
// warning: there are pixels.
func (h *turboHandle) complaint() (text string, warning bool) {
	warning = h.call(h.lib.errorCode) == tjWarning
	text = h.lib.errorText(h.handle)
	runtime.KeepAlive(h)
	return text, warning
}
