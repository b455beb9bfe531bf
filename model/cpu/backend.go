package cpu

import (
	"errors"
	"fmt"

	"alexnet/model/cpu/dnnl"
)

// Backend says what computes an engine's layers.
type Backend string

// The backends. Their results differ in the last bits.
const (
	Auto   Backend = ""       // oneDNN where it is found, plain Go elsewhere
	OneDNN Backend = "onednn" // oneDNN, or an error
	Plain  Backend = "plain"  // plain Go
)

// choose sets the library of the engine, and its name.
func (e *Engine) choose(o *Options) error {
	b := o.Backend
	e.name = "CPU: plain Go, " + e.threadsText()
	if err := o.checkPrecision(); err != nil {
		return err
	}
	switch b {
	case Plain:
		return nil
	case Auto, OneDNN:
	default:
		return fmt.Errorf("backend %q: there are %q (or none: the best that is here) and %q", b, OneDNN, Plain)
	}
	e.half = o.Precision == BF16
	lib, err := dnnl.Find()
	if err != nil {
		switch {
		case e.half:
			return withoutLibrary(err)
		case b == OneDNN:
			return err
		}
		e.hint = hint(err)
		return nil
	}
	if e.lib, err = lib.NewContext(e.threads); err != nil {
		return err
	}
	e.name = "CPU: " + lib.Name() + ", " + e.threadsText()
	if e.half {
		e.name = "CPU: " + lib.Name() + ", " + string(BF16) + ", " + e.threadsText()
		if err := checkLibrary(e.lib); err != nil {
			e.lib.Close()
			return err
		}
	}
	return nil
}

func (e *Engine) threadsText() string {
	if e.threads == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", e.threads)
}

// Name says what computes, its release, precision and threads: "CPU: oneDNN 2.6.3, 2
// threads", and with BF16 "CPU: oneDNN 2.6.3, bf16, 2 threads".
func (e *Engine) Name() string { return e.name }

// Hint says what is missing for a faster engine and how to get it. It is empty
// where nothing is, or where the user wants it so.
func (e *Engine) Hint() string { return e.hint }

// hint makes a sentence of the reason why oneDNN is not used.
func hint(err error) string {
	var missing *dnnl.MissingError
	if errors.As(err, &missing) && missing.Hint != "" {
		return fmt.Sprintf("training with oneDNN would be about 1.5 times as fast, and it is not here (%v); %s", missing.Err, missing.Hint)
	}
	return ""
}
