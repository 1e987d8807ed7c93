package child

import (
	"io"
	"strings"
	"sync"
)

// tailBytes is how much of the output an error message can quote.
const tailBytes = 4 << 10

// An output passes on what a process writes and remembers the end of it.
type output struct {
	out io.Writer // nil: discarded

	mu  sync.Mutex
	buf []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	o.buf = append(o.buf, b...)
	if extra := len(o.buf) - tailBytes; extra > 0 {
		o.buf = append(o.buf[:0], o.buf[extra:]...)
	}
	o.mu.Unlock()
	if o.out == nil {
		return len(b), nil
	}
	return o.out.Write(b)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.buf))
}

// lastLine is the last line that is not empty.
func (o *output) lastLine() string {
	text := o.text()
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

// quote renders the output as the end of an error message, empty without any.
func (o *output) quote() string {
	text := o.text()
	if text == "" {
		return ""
	}
	return "\nits last output:\n\t" + strings.ReplaceAll(text, "\n", "\n\t")
}
