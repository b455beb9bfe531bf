package decode

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"sync"
)

// Variable names the environment variable that chooses the library which
// decodes JPEG: the path of a libturbojpeg file, or "none" for image/jpeg.
const Variable = "ALEXNET_TURBOJPEG"

// None is the value of the [Variable] that forbids libjpeg-turbo.
const None = "none"

// Library is what decodes JPEG. It may be shared by any number of Decoders.
type Library struct {
	name, hint string
	turbo      *turbo // nil: image/jpeg
}

// Name says which library this is, and its release, for the terminal and for
// the manifest: two decoders differ by a level here and there, so shards made
// with different ones are not the same. Examples are "libjpeg-turbo 2.1.5
// (libturbojpeg.so.0.2.0)" and "image/jpeg (go1.26)".
func (l *Library) Name() string { return l.name }

// Hint says how to get a faster library. It is empty for the fastest, and where
// the user has forbidden it.
func (l *Library) Hint() string { return l.hint }

// Find returns the best library of this machine: libjpeg-turbo 2.0 or later
// where its file, or the one that the [Variable] names, can be loaded;
// image/jpeg otherwise, with a Hint that says why. It always returns the same
// one.
func Find() *Library { return find() }

//nolint:gochecknoglobals // read only: a library is loaded once in a process
var find = sync.OnceValue(func() *Library { return findFor(os.Getenv(Variable)) })

// findFor is Find for a value of the variable.
func findFor(choice string) *Library {
	switch choice {
	case None:
		return Standard()
	case "":
		for _, path := range turboPaths() {
			if l, err := Open(path); err == nil {
				return l
			}
		}
		l := Standard()
		l.hint = installHint()
		return l
	}
	l, err := Open(choice)
	if err != nil {
		l = Standard()
		l.hint = fmt.Sprintf("%s=%s: %v", Variable, choice, err)
	}
	return l
}

// Open loads libjpeg-turbo from a file. The path is what the system's loader
// takes: a name without a slash is looked for in the usual places.
func Open(path string) (*Library, error) {
	t, err := openTurbo(path)
	if err != nil {
		return nil, fmt.Errorf("decode: libjpeg-turbo: %w", err)
	}
	return &Library{name: t.name(), turbo: t}, nil
}

// Standard returns the decoder of Go's standard library, which every machine
// has.
func Standard() *Library {
	v := runtime.Version()
	if short := regexp.MustCompile(`go[0-9]+\.[0-9]+`).FindString(v); short != "" {
		v = short
	}
	return &Library{name: "image/jpeg (" + v + ")"}
}

// Name is the name of the library that a Decoder uses which was not given one.
func Name() string { return Find().Name() }

// installHint says how to install libjpeg-turbo, where it could be loaded.
func installHint() string {
	if len(turboPaths()) == 0 {
		return ""
	}
	const slow = "libjpeg-turbo, which decodes JPEG several times as fast, is not here; install it: "
	switch runtime.GOOS {
	case "darwin":
		return slow + "brew install jpeg-turbo"
	case "linux":
		return slow + "apt-get install libturbojpeg0 (Debian), apt-get install libturbojpeg (Ubuntu), dnf install turbojpeg (Fedora)"
	}
	return ""
}
