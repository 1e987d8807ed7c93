package strict

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWholeNumberIsExact asks an arithmetic that does not round.
func TestWholeNumberIsExact(t *testing.T) {
	literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,12})?([eE][-+]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		text := literal.Draw(t, "number")
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%s is no number", text)
		}
		for _, bits := range []int{32, 64} {
			want := exact.IsInt() && new(big.Int).Add(exact.Num(), bit(bits-1)).Sign() >= 0 && exact.Num().Cmp(bit(bits-1)) < 0
			got, ok := WholeNumber(&Node{Kind: Number, Text: text}, bits)
			if ok != want || ok && exact.Num().Cmp(big.NewInt(got)) != 0 {
				t.Fatalf("%s in %d bits: %d, %v; want %v", text, bits, got, ok, want)
			}
		}
	})
}

func bit(n int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(n)) }

func TestWholeNumberAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0.99999999999999999999", 0, false}, {"1.00000000000000000001", 0, false}, {"1.0000000000000000000", 1, true},
		{"9007199254740993.0", 9007199254740993, true}, {"9223372036854775807", 1<<63 - 1, true}, {"9223372036854775808", 0, false},
		{"-9223372036854775808", -1 << 63, true}, {"-0", 0, true}, {"0e99", 0, true}, {"10e-1", 1, true}, {"1e-1", 0, false},
		{"1e999999999", 0, false}, {"1e9223372036854775807", 0, false}, {"1.1e-9223372036854775808", 0, false}, {"1e99999999999999999999", 0, false},
		{strings.Repeat("1", 33), 0, false}, {"01", 0, false}, {"+1", 0, false}, {"1.", 0, false}, {"", 0, false},
	} {
		if got, ok := WholeNumber(&Node{Kind: Number, Text: c.text}, 64); got != c.want || ok != c.ok {
			t.Errorf("%s: %d, %v; want %d, %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

func TestDirectiveLine(t *testing.T) {
	for text, want := range map[string]int{
		"%TAG": 1, "\ufeff%TAG": 1, "a: b\n%TAG": 2, "a: b\r%TAG": 2, "a: b\r\n%TAG": 2, "a: b\r\n\n%TAG": 3, "# c\u0085%YAML": 2, "# c\u2028%": 2, "# c\u2029%": 2,
		"...\n\ufeff%TAG": 2, "": 0, "a: 5%": 0, "a: b\n %TAG": 0, "a: |\n  %TAG\n": 0, "a: b\r\n\u00a0%TAG": 0,
	} {
		if got := directiveLine([]byte(text)); got != want {
			t.Errorf("%q: line %d, want %d", text, got, want)
		}
	}
}
