# Regular expressions, hashes, sorting, strings; $ARGV[0] is how much. Prints checksums.
use strict;
use warnings;

my $seed = 1;
sub number { $seed = ($seed * 1103515245 + 12345) % 2147483648; return $seed >> 12 }

for my $round (1 .. $ARGV[0]) {
    my @lines = map {
        join ' ', map { sprintf '%s%d', chr(97 + number() % 26) x (1 + number() % 5), number() % 1000 } 1 .. 12
    } 1 .. 800;
    my (%count, $matched, $sum);
    for (@lines) {
        $count{$1} += $2 while /\b([a-z]+)(\d+)\b/g;
        $matched++ if /(\w)\1\d*5\s.*(?:a+|q{2,})7/;
        (my $changed = $_) =~ s/(\d+)/<$1>/g;
        $changed =~ tr/a-z/b-za/;
        $sum += unpack '%32C*', $changed;
    }
    my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 4];
    my @sorted = sort map { scalar reverse } map { split ' ' } @lines;
    print join(' ', $round, $matched // 0, $sum, @top, @sorted[0, 100, -1]), "\n";
}
