# bash completion for jobscheduler. The program itself says what may follow; see `jobscheduler completion --help`.

_jobscheduler() {
    local program=jobscheduler head
    # `./jobscheduler` and the like complete what they are; an alias is no program.
    [[ $1 == */* ]] && program=${1/#\~/$HOME}
    {
        IFS= read -r head
        mapfile -t COMPREPLY
    } < <("$program" __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    case ${head%%$'\t'*} in
        files)
            compopt -o default
            if [[ ${#COMPREPLY[@]} -gt 0 ]]; then # jobs, and files beside them
                compopt -o filenames
                mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$2")
            fi
            ;;
        directories) compopt -o dirnames ;;
        users) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
        groups) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
        list) compopt -o nospace ;; # a comma may follow
    esac
    compopt -o nosort 2>/dev/null || true
}
complete -F _jobscheduler jobscheduler
