#!/usr/bin/env perl
# A web server that is small enough to read: files of the folder "site", as they are at each request.
use strict;
use warnings;
use IO::Socket::INET;

my ($port) = @ARGV;
my %types = (html => 'text/html', css => 'text/css', js => 'text/javascript', json => 'application/json', svg => 'image/svg+xml');
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 16, ReuseAddr => 1)
    or die "port $port: $!\n";
$SIG{PIPE} = 'IGNORE';
open(my $listens, '>', '/tmp/hello-page-listens') or die "/tmp: $!\n";
close($listens);
$| = 1;
print "Serving site/ on port $port.\n";

while (my $client = $server->accept) {
    # Who says nothing must not keep the others waiting.
    eval {
        local $SIG{ALRM} = sub { die "silent\n" };
        alarm 5;
        answer($client);
        alarm 0;
    };
    alarm 0;
    close $client;
}

sub answer {
    my ($client) = @_;
    my $line = <$client> // return;
    while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
    my ($path) = $line =~ m{^(?:GET|HEAD) /([\w./-]*)} or return reply($client, '405 Method Not Allowed', 'text/plain', "\n");
    $path = 'index.html' if $path eq '';
    my $file = $path eq 'facts.json' ? '/tmp/hello/facts.json' : "site/$path";
    return reply($client, '404 Not Found', 'text/plain', "There is no such page.\n") if $path =~ /\.\./ || !-f $file;
    open(my $in, '<:raw', $file) or return reply($client, '403 Forbidden', 'text/plain', "\n");
    local $/;
    my ($ending) = $file =~ /\.(\w+)$/;
    reply($client, '200 OK', $types{ $ending // '' } // 'application/octet-stream', scalar <$in>);
    print "/$path\n";
}

sub reply {
    my ($client, $status, $type, $body) = @_;
    print $client "HTTP/1.1 $status\r\nContent-Type: $type; charset=utf-8\r\nContent-Length: ", length($body),
        "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n", $body;
}
