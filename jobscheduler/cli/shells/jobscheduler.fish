# fish completion for jobscheduler. The program itself says what may follow; see `jobscheduler completion --help`.

function __jobscheduler_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -l program jobscheduler
    # `./jobscheduler` and the like complete what they are; an alias is no program.
    if string match -q '*/*' -- "$words[1]"
        set program (string replace -r '^~/' "$HOME/" -- $words[1])
    end
    set -e words[1]
    set -l lines ($program __complete fish $words "$token" 2>/dev/null)
    set -l option (string match -r -- '^--[^=]+=' $token)
    set -l value (string replace -- "$option" '' $token)
    if set -q lines[2]
        printf '%s\n' $lines[2..-1]
    end
    switch (string split -f 1 \t -- $lines[1])
        case files
            string replace -r -- '^' "$option" (__fish_complete_path "$value")
        case directories
            string replace -r -- '^' "$option" (__fish_complete_directories "$value")
        case users
            string replace -r -- '^' "$option" (__fish_complete_users)
        case groups
            string replace -r -- '^' "$option" (__fish_complete_groups)
    end
end
complete -c jobscheduler -f -k -a '(__jobscheduler_complete)'
