# fish completion for corten
function __corten_complete
    set -l words (commandline -opc) (commandline -ct)
    corten __complete $words[2..-1] 2>/dev/null
end
complete -c corten -f -a '(__corten_complete)'
