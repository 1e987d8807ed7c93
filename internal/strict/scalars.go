package strict

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

var (
	// jsonNumber is what every version of YAML, and JSON, reads as one number.
	jsonNumber   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	protoSeconds = regexp.MustCompile(`^-?[0-9]{1,12}(\.[0-9]{1,9})?s$`)
)

// IsNumber says whether a text is a number of JSON.
func IsNumber(s string) bool { return jsonNumber.MatchString(s) }

func Control(c rune) bool { return unicode.IsControl(c) }

// WholeNumber reads an integer as protojson does: 3, "3", 3.0 and 3e0. It moves
// the point and never rounds: 0.99999999999999999999 is not 1.
func WholeNumber(n *Node, bits int) (int64, bool) {
	if n.Kind != Number && n.Kind != Text || len(n.Text) > 32 || !jsonNumber.MatchString(n.Text) {
		return 0, false
	}
	mantissa, exponent := n.Text, 0
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(mantissa[i+1:]); err != nil {
			return 0, false
		}
		mantissa = mantissa[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits, negative := strings.CutPrefix(whole+fraction, "-")
	digits, exponent = strings.TrimLeft(digits, "0"), exponent-len(fraction)
	bare := strings.TrimRight(digits, "0")
	switch places := len(digits) + exponent; {
	case digits == "":
		return 0, true
	case places < len(bare) || places > 19:
		return 0, false
	default:
		digits = bare + strings.Repeat("0", places-len(bare))
	}
	if negative {
		digits = "-" + digits
	}
	i, err := strconv.ParseInt(digits, 10, bits)
	if err != nil {
		return 0, false
	}
	return i, true
}

// Seconds reads a duration in the JSON form of protobuf, such as "3600s".
func Seconds(s string) (time.Duration, bool) {
	if !protoSeconds.MatchString(s) {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// fixSeconds says how to write what was meant as a duration.
func fixSeconds(n *Node) string {
	const form = "Write seconds as text with an s: %q."
	if (n.Kind == Number || n.Kind == Text) && jsonNumber.MatchString(n.Text) && !strings.ContainsAny(n.Text, "eE-") && len(n.Text) < 12 {
		return fmt.Sprintf(form, n.Text+"s")
	}
	days, ok := strings.CutSuffix(n.Text, "d")
	if d, err := strconv.ParseUint(days, 10, 16); ok && err == nil {
		return fmt.Sprintf(form, strconv.FormatUint(d*24*60*60, 10)+"s")
	}
	if d, err := time.ParseDuration(n.Text); err == nil && n.Kind == Text {
		return fmt.Sprintf(form, strconv.FormatFloat(d.Seconds(), 'f', -1, 64)+"s")
	}
	return `Write seconds as text with an s, for example "3600s".`
}
